// One voxel's row of C complex channels, read as vectors. Included once per instruction set, inside its namespace.

template <typename T, int L>
struct VectorOf;
template <>
struct VectorOf<float, 1> {
  typedef float type __attribute__((vector_size(4)));
};
template <>
struct VectorOf<double, 1> {
  typedef double type __attribute__((vector_size(8)));
};
template <>
struct VectorOf<float, 2> {
  typedef float type __attribute__((vector_size(8)));
};
template <>
struct VectorOf<float, 4> {
  typedef float type __attribute__((vector_size(16)));
};
template <>
struct VectorOf<float, 8> {
  typedef float type __attribute__((vector_size(32)));
};
template <>
struct VectorOf<double, 2> {
  typedef double type __attribute__((vector_size(16)));
};
template <>
struct VectorOf<double, 4> {
  typedef double type __attribute__((vector_size(32)));
};
template <>
struct VectorOf<double, 8> {
  typedef double type __attribute__((vector_size(64)));
};
template <typename T, int L>
using Vector = typename VectorOf<T, L>::type;

template <typename V, typename T>
inline __attribute__((always_inline)) V load(const T* from) {
  V value;
  __builtin_memcpy(&value, from, sizeof(V));  // rows have no alignment beyond that of their numbers
  return value;
}

template <typename V, typename T>
inline __attribute__((always_inline)) void store(T* to, V value) {
  __builtin_memcpy(to, &value, sizeof(V));
}

template <typename T>
struct Complex {
  T re, im;
};

// Sums of the even and of the odd lanes.
template <typename T, int L>
inline __attribute__((always_inline)) Complex<T> fold(Vector<T, L> sum) {
#if __has_builtin(__builtin_shufflevector)
  if constexpr (L == 8) {
    const auto half = __builtin_shufflevector(sum, sum, 0, 1, 2, 3) + __builtin_shufflevector(sum, sum, 4, 5, 6, 7);
    const auto pair = __builtin_shufflevector(half, half, 0, 1) + __builtin_shufflevector(half, half, 2, 3);
    return {pair[0], pair[1]};
  } else if constexpr (L == 4) {
    const auto pair = __builtin_shufflevector(sum, sum, 0, 1) + __builtin_shufflevector(sum, sum, 2, 3);
    return {pair[0], pair[1]};
  }
#endif
  Complex<T> total{0, 0};
  for (int lane = 0; lane < L; lane += 2) {
    total.re += sum[lane];
    total.im += sum[lane + 1];
  }
  return total;
}

template <typename T, int L>
inline __attribute__((always_inline)) Vector<T, L> repeat(T re, T im) {
  if constexpr (L == 8) {
    return Vector<T, L>{re, im, re, im, re, im, re, im};
  } else if constexpr (L == 4) {
    return Vector<T, L>{re, im, re, im};
  } else {
    return Vector<T, L>{re, im};
  }
}

// C is the number of channels where it is known at compile time (registers instead of memory), else 0.
template <typename T, int C, int L>
struct Row {
  using V = Vector<T, L>;
  static constexpr int capacity = (2 * (C ? C : kMaxChannels) + L - 1) / L;
  const int floats;   // 2 C
  const int vectors;  // covering the row; the last may overlap the one before it
  const int whole;    // vectors without overlap

  explicit Row(int channels)
      : floats(2 * (C ? C : channels)), vectors((floats + L - 1) / L), whole(floats / L) {}

  int offset(int vector) const { return vector < whole ? vector * L : floats - L; }

  // Packed coefficients, in registers where C is small.
  inline __attribute__((always_inline)) void load_coefficients(const T* coefficients, V* own) const {
    for (int i = 0; i < vectors; ++i) own[i] = load<V>(coefficients + i * L);
  }

  // sum_c s_c V_c; the packed coefficients are zero in lanes that overlap.
  inline __attribute__((always_inline)) Complex<T> mix(const V* coefficients, const T* row) const {
    V sum = coefficients[0] * load<V>(row);
    for (int i = 1; i < vectors; ++i) sum += coefficients[i] * load<V>(row + offset(i));
    return fold<T, L>(sum);
  }

  // row += s (x) g
  inline __attribute__((always_inline)) void add_outer(T* row, const T* coefficients, Complex<T> g) const {
    const V pair = repeat<T, L>(g.re, g.im);
    for (int i = 0; i < whole; ++i) {
      store(row + i * L, load<V>(row + i * L) + load<V>(coefficients + i * L) * pair);
    }
    for (int k = whole * L; k < floats; k += 2) {
      const T s = coefficients[vectors * L - floats + k];
      row[k] += s * g.re;
      row[k + 1] += s * g.im;
    }
  }

  // sum[i] += weight * row, vector by vector
  inline __attribute__((always_inline)) void accumulate(V* sum, V weight, const T* row) const {
    for (int i = 0; i < vectors; ++i) sum[i] += weight * load<V>(row + offset(i));
  }

  inline __attribute__((always_inline)) void clear(V* sum) const {
    for (int i = 0; i < vectors; ++i) sum[i] = V{};
  }

  // Copy a sum of accumulate() to C real and C imaginary parts.
  inline __attribute__((always_inline)) void unzip(const V* sum, T* re, T* im) const {
    using Half = Vector<T, L / 2>;
    for (int i = 0; i < vectors; ++i) {
      Half real, imaginary;
#if __has_builtin(__builtin_shufflevector)
      if constexpr (L == 8) {
        real = __builtin_shufflevector(sum[i], sum[i], 0, 2, 4, 6);
        imaginary = __builtin_shufflevector(sum[i], sum[i], 1, 3, 5, 7);
        store(re + offset(i) / 2, real);
        store(im + offset(i) / 2, imaginary);
        continue;
      }
#endif
      for (int lane = 0; lane < L / 2; ++lane) {
        real[lane] = sum[i][2 * lane];
        imaginary[lane] = sum[i][2 * lane + 1];
      }
      store(re + offset(i) / 2, real);
      store(im + offset(i) / 2, imaginary);
    }
  }

  // Copy a sum of accumulate() to 2 C numbers in order.
  inline __attribute__((always_inline)) void unpack(const V* sum, T* to) const {
    for (int i = 0; i < vectors; ++i) store(to + offset(i), sum[i]);
  }
};
