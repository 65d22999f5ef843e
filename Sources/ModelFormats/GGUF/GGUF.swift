import OrderedJSON

/// The GGUF format of ggml: key-value pairs, a list of tensors, then their values.
///
///     "GGUF", version u32 (2 or 3), tensor count i64, pair count i64
///     pairs      key, value type u32, value; an array is its element type u32, count u64, elements
///     tensors    name, dimension count u32, dimensions u64 each, type u32, offset u64
///     padding    up to a multiple of the alignment
///     values     each tensor's at its offset from here, a multiple of the alignment
///
/// Everything is little-endian; a string is its length u64 and its bytes. The alignment is 32, or
/// the value of `general.alignment`. Dimensions are innermost first, the reverse of ``Shape``, and
/// trailing ones of size 1 (our leading ones) may have been dropped.
///
/// Tensor values must be in the list's order, each padded to the alignment, as ggml requires. Names
/// may have any length: ggml's own limit of 63 bytes is too short for Stable Diffusion, and its
/// programs raise it.
///
/// ComfyUI-GGUF splits tensors whose rows are not whole blocks into rows of 256 values, and stores
/// the original shape, outermost dimension first, in `comfy.gguf.orig_shape.NAME`. That shape is
/// the tensor's ``Tensor/shape``; the listed one is its ``Tensor/storedShape``.
///
/// Source: ggml's `docs/gguf.md` and `src/gguf.cpp`; ComfyUI-GGUF's `loader.py`.
package enum GGUF {
  static let defaultAlignment = 32
  /// The maximum number of dimensions.
  static let rankLimit = 4

  /// ComfyUI-GGUF's key prefix for the original shape of a tensor whose values were split into rows
  /// of whole blocks.
  package static let originalShape = "comfy.gguf.orig_shape."

  /// Reads and checks the metadata and the tensor list; values are not accessed.
  ///
  /// - Throws: ``FormatError`` with the offset in the file and the name of the tensor or key.
  package static func read(_ file: MappedFile) throws(FormatError) -> TensorFile {
    do throws(FormatError) {
      return try readChecked(file)
    } catch {
      throw error.inFile(file.path)
    }
  }

  private static func readChecked(_ file: MappedFile) throws(FormatError) -> TensorFile {
    let header = try GGUFHeader(parsing: file)
    var warnings: [String] = []
    var unread: [UnreadValues] = []
    var tensors: [Tensor] = []
    for entry in header.entries {
      let (shape, storedShape) = try header.shapes(of: entry)
      let storage: Tensor.Storage
      let dtype: DType
      let offset = header.dataStart + entry.offset
      switch entry.type.values {
      case .plain(let type): (dtype, storage) = (type, .mapped(file, offset: offset))
      case .blocks(let encoding):
        (dtype, storage) = (.float32, .blocks(file, offset: offset, encoding))
      case .opaque(let type, _, _):
        let reason = "unsupported type \(type); tensor skipped"
        warnings.append("\(entry.name): \(reason)")
        unread.append(
          UnreadValues(.tensor, entry.name, byteCount: entry.byteCount, reason: reason))
        continue
      }
      tensors.append(
        Tensor(
          name: entry.name, dtype: dtype, shape: shape, storage: storage, storedShape: storedShape))
    }
    let names = Set(header.entries.map { ExactName($0.name) })
    for name in header.originalShapes.keys.map(\.text).sorted()
    where !names.contains(ExactName(name)) {
      warnings.append("comfy.gguf.orig_shape.\(name): no such tensor")
    }
    let parts = header.metadata.first { $0.key == "split.count" }.flatMap { Int($0.value) } ?? 1
    if parts > 1 {
      warnings.append(
        "this is one of \(parts) files; it does not contain the tensors of the others")
    }
    let end = header.dataStart + header.byteCount
    if end < file.count, file.count - end >= header.alignment {
      warnings.append(
        "\((file.count - end).of("byte follows", "bytes follow")) the last tensor and "
          + (file.count - end == 1 ? "was" : "were") + " ignored")
    }
    return TensorFile(
      path: file.path, format: .gguf, metadata: header.metadata, tensors: tensors,
      warnings: warnings, unread: unread)
  }
}

extension GGUFHeader {
  /// A tensor's shape, and its listed shape if different.
  fileprivate func shapes(
    of entry: Entry
  ) throws(FormatError) -> (shape: Shape, stored: Shape?) {
    guard let original = originalShapes[ExactName(entry.name)], original != entry.shape else {
      return (entry.shape, nil)
    }
    guard let count = original.elementCount, count == entry.shape.elementCount else {
      throw FormatError(
        .malformed,
        "comfy.gguf.orig_shape gives it the shape \(original), but \(entry.shape) is stored, "
          + "which has \(entry.shape.elementCount ?? 0) values", context: entry.name,
        hint: "the file's metadata and tensors do not belong together; convert the model again")
    }
    return (original, entry.shape)
  }
}

extension FormatDescriptor {
  /// GGUF files, as llama.cpp and stable-diffusion.cpp write them.
  public static let gguf: FormatDescriptor = {
    var kind = FormatDescriptor("gguf", .beginnings([Array("GGUF".utf8)]))
    kind.format = .gguf
    kind.read = GGUF.read
    kind.endings = [".gguf"]
    kind.isWeights = true
    kind.fuzzTarget = "gguf"
    kind.writing = .gguf
    kind.rows = [
      Row(
        title: "GGUF 2 and 3",
        reads:
          "F32, F16, BF16, F64, I8 to I64; Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K and Q8_K "
          + "as F32; others left out with a warning",
        writes: "version 3: F32, F16, BF16, F64, I8 to I64, and F32 as Q8_0")
    ]
    return kind
  }()
}

extension TensorFile.Format {
  /// A GGUF file.
  public static let gguf = TensorFile.Format(rawValue: "gguf")
}
