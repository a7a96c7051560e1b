"""STAR files as programs and people write them: any order, quotes, comments, line ends, numbers and unknown things."""

from dataclasses import dataclass

from hypothesis import strategies as st

WORDS = [
    "mic.mrc",
    "data_1/a.mrc",
    "loop_2",
    "a'b",
    'a"b',
    "x#y",
    "[0,0.1]",
    "n/a",
    "-",
    "été",
    "0x1f",
    "12e",
]
QUOTED = ["two words.mrc", "one # two", "_underscore", "", "tab\there", "data_x"]
OPTICS = {
    "rlnOpticsGroup": ["1", "2"],
    "rlnOpticsGroupName": ["opticsGroup1", "opticsGroup2"],
    "rlnVoltage": ["300.000000", "200"],
    "rlnSphericalAberration": ["2.7", "2.0"],
    "rlnAmplitudeContrast": ["0.1", "0.07"],
    "rlnImagePixelSize": ["1.5", "1.5"],
    "rlnImageSize": ["64", "64"],
    "rlnImageDimensionality": ["2", "2"],
}
OWN_LABELS = ["ownColumn", "rlnMadeUp", "wrpSomething"]


@dataclass(frozen=True)
class Taste:
    """What a dialect may use.

    `free` is all that STAR allows; `tidy` what starfile reads as well; `relion` what RELION 3.1 does.
    """

    quotes: bool = True
    inline_comments: bool = True
    comments_in_tables: bool = True
    own_columns: bool = True
    ends: tuple[str, ...] = ("\n", "\r\n", "\r")
    byte_order_mark: bool = True
    words: tuple[str, ...] = tuple(WORDS)
    names: tuple[str, ...] = ("particles", "images", "")


FREE = Taste()


@dataclass(frozen=True)
class StarSample:
    """A file, and what stands in it.

    Attributes
    ----------
    lines : bytes of each line with its end.
    row_lines : numbers of the particles' lines.
    table : values of the particles by label, as they were written, without quotes.
    """

    lines: list[bytes]
    row_lines: list[int]
    table: dict[str, list[str]]

    @property
    def content(self) -> bytes:
        return b"".join(self.lines)

    def without(self, kept: list[int]) -> bytes:
        """The file's bytes with only these of its particle rows."""
        dropped = set(self.row_lines) - {self.row_lines[row] for row in kept}
        return b"".join(line for number, line in enumerate(self.lines) if number not in dropped)


def numbers() -> st.SearchStrategy[str]:
    """Texts of numbers, in the formats that programs use."""
    values = st.floats(-1e5, 1e5, allow_nan=False)
    formats = ["{:.6f}", "{:12.6f}", "{:g}", "{:.3e}", "{:+.2f}", "{!r}"]
    texts = st.builds(lambda text, value: text.format(value).strip(), st.sampled_from(formats), values)
    return st.one_of(
        texts, st.integers(-99, 99999).map(str), st.sampled_from(["007", ".5", "5.", "-0.000000"])
    )


@st.composite
def star_samples(draw: st.DrawFn, taste: Taste = FREE, most: int = 6) -> StarSample:
    """A STAR file of particles in some dialect."""
    table = draw(particle_tables(taste, most))
    layout = Layout(draw, taste)
    blocks = [
        layout.table("optics", OPTICS),
        layout.table(draw(st.sampled_from(taste.names)), table, are_particles=True),
    ]
    if taste.own_columns:
        blocks.append(layout.pairs("own_settings", {"ownName": "a", "ownNumber": "1.50"}))
        blocks.append(layout.table("own_table", {"ownColumn": ["1", "2", "3"]}))
    ordered = draw(st.permutations(blocks))
    marked = [line for block in ordered for line in block]
    end = draw(st.sampled_from(taste.ends))
    lines = [(text + end).encode() for text, _ in marked]
    if draw(st.booleans()) and marked[-1][0].strip():
        lines[-1] = marked[-1][0].encode()  # no line end at the end of the file
    if taste.byte_order_mark and draw(st.booleans()):
        lines[0] = b"\xef\xbb\xbf" + lines[0]
    return StarSample(lines, [number for number, (_, is_row) in enumerate(marked) if is_row], table)


@st.composite
def particle_tables(draw: st.DrawFn, taste: Taste, most: int) -> dict[str, list[str]]:
    count = draw(st.integers(1, most))
    words = st.sampled_from([*taste.words, *(QUOTED if taste.quotes else [])])

    def column(values: st.SearchStrategy[str]) -> list[str]:
        return draw(st.lists(values, min_size=count, max_size=count))

    table = {
        "rlnImageName": [
            f"{number:06d}@Extract/s.mrcs" for number in draw(st.permutations(range(1, count + 1)))
        ],
        "rlnMicrographName": column(words),
        "rlnDefocusU": column(numbers()),
        "rlnRandomSubset": column(st.sampled_from(["1", "2"])),
        "rlnOpticsGroup": column(st.sampled_from(["1", "2"])),
        "rlnAngleRot": column(numbers()),
    }
    if taste.own_columns:
        table |= {
            label: column(st.one_of(words, numbers())) for label in draw(st.sets(st.sampled_from(OWN_LABELS)))
        }
    return {label: table[label] for label in draw(st.permutations(sorted(table)))}


class Layout:
    """Lines of blocks, with what is free drawn anew for each; the second of a pair says whether it is a particle's."""

    def __init__(self, draw: st.DrawFn, taste: Taste) -> None:
        self.draw, self.taste = draw, taste

    def filler(self, in_table: bool = False) -> list[tuple[str, bool]]:
        texts = ["", "  ", "\t"] if not in_table or self.taste.comments_in_tables else []
        texts += ["# version 30001", "  # 1@x.mrcs", "#"] if texts else []
        count = self.draw(st.integers(0, 2)) if texts else 0
        return [(self.draw(st.sampled_from(texts)), False) for _ in range(count)]

    def value(self, text: str) -> str:
        if (
            not text
            or text[0] in "_#"
            or any(blank in text for blank in " \t")
            or text.startswith(("data_", "loop_"))
        ):
            return f'"{text}"' if self.draw(st.booleans()) else f"'{text}'"
        return text

    def table(
        self, name: str, table: dict[str, list[str]], are_particles: bool = False
    ) -> list[tuple[str, bool]]:
        lines = [
            *self.filler(),
            (f"data_{name}", False),
            *self.filler(),
            ("loop_" + self.draw(BLANKS), False),
        ]
        numbered = self.draw(st.booleans())
        for number, label in enumerate(table, 1):
            lines.append((f"_{label}" + (f" #{number} " if numbered else ""), False))
        separator = self.draw(st.sampled_from([" ", "\t", "    "]))
        for values in zip(*table.values(), strict=True):
            lines += self.filler(in_table=True)
            comment = self.draw(
                st.sampled_from(["", " # a note", " "] if self.taste.inline_comments else ["", " "])
            )
            row = separator.join(map(self.value, values))
            lines.append((self.draw(BLANKS) + row + comment, are_particles))
        return [*lines, ("", False), *self.filler()]

    def pairs(self, name: str, values: dict[str, str]) -> list[tuple[str, bool]]:
        rows = [(f"_{label}   {self.value(value)}", False) for label, value in values.items()]
        return [*self.filler(), (f"data_{name}", False), *self.filler(), *rows, ("", False)]


BLANKS = st.sampled_from(["", " ", "   "])
