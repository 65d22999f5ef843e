import OrderedJSON

/// Files of other programs, recognized by their first bytes, so that errors can name them.
extension TensorFile {
  /// Formats whose magic number is not at the very beginning, or that are recognized by their
  /// sequence of fields; nil for other files.
  ///
  /// Source: TFLite's and MindSpore Lite's schemas (a FlatBuffer's identifier is at byte 4); ggml's
  /// `llama.cpp` before GGUF; SentencePiece's `sentencepiece_model.proto`; MindSpore's
  /// `checkpoint.proto`; Core ML's `Model.proto` and the header of its `weight.bin`; the
  /// serialization of Flax (MessagePack).
  static func foreignKind(_ file: MappedFile, _ head: [UInt8]) -> Kind? {
    let identifier = head.dropFirst(4).prefix(4)
    if identifier.elementsEqual("TFL3".utf8) { return .tfLite }
    if identifier.elementsEqual("MSL2".utf8) || identifier.elementsEqual("MSL1".utf8) {
      return .mindSpore
    }
    if head.count >= 68, head[0] > 0, head[4..<8].elementsEqual([2, 0, 0, 0]),
      head[64..<68].elementsEqual([0xEF, 0xBE, 0xAD, 0xDE])
    {
      return .coreML
    }
    if isFlax(head) { return .flax }
    return messageKind(file)
  }

  /// A map whose first key is a name, and whose first value is a map or an array.
  private static func isFlax(_ head: [UInt8]) -> Bool {
    guard head.count > 8, (0x81...0x8F).contains(head[0]) || head[0] == 0xDE else { return false }
    var rest = head.dropFirst(head[0] == 0xDE ? 3 : 1)
    guard let first = rest.popFirst() else { return false }
    var length = Int(first & 0x1F)
    if first == 0xD9 {
      length = Int(rest.popFirst() ?? 0)
    } else if !(0xA1...0xBF).contains(first) {
      return false
    }
    guard length > 0, rest.count > length,
      rest.prefix(length).allSatisfy({ (0x20..<0x7F).contains($0) })
    else { return false }
    let value = rest.dropFirst(length).first ?? 0
    return (0x81...0x8F).contains(value) || [0xC7, 0xC8, 0xC9, 0xDE, 0xDF].contains(value)
  }

  /// Protocol Buffers messages, which have no magic number.
  private static func messageKind(_ file: MappedFile) -> Kind? {
    var reader = ProtobufReader(file, 0..<file.count, what: "the message")
    guard let first = try? reader.next() else { return nil }
    if first.number == 1, case .varint(let version) = first.value, (1...20).contains(version) {
      // Core ML: a description, then the model, whose field numbers are in the hundreds.
      for _ in 0..<8 {
        guard let field = try? reader.next() else { return nil }
        if (200...3000).contains(field.number), case .bytes = field.value { return .coreML }
        guard [2, 10].contains(field.number) else { return nil }
      }
      return nil
    }
    guard first.number == 1, case .bytes(let range) = first.value else { return nil }
    if text(range, in: file, limit: 16)?.first?.isNumber == true {
      // MindSpore's graphs: a version, the producer's name.
      if let field = try? reader.next(), field.number == 2, case .bytes(let name) = field.value,
        text(name, in: file, limit: 16) == "MindSpore"
      {
        return .mindSpore
      }
      return nil
    }
    var piece = ProtobufReader(file, range, what: "the piece")
    guard let name = try? piece.next(), name.number == 1, case .bytes(let word) = name.value,
      text(word, in: file, limit: 4096) != nil, let value = try? piece.next()
    else { return nil }
    switch (value.number, value.value) {
    case (2, .fixed32):
      // A second piece like the first.
      guard let next = try? reader.next(), next.number == 1, case .bytes = next.value else {
        return nil
      }
      return .sentencePiece
    case (2, .bytes(let tensor)):
      var tensor = ProtobufReader(file, tensor, what: "the tensor")
      while let field = try? tensor.next() {
        guard field.number == 2, case .bytes(let type) = field.value else { continue }
        let types = ["Float", "Int", "UInt", "Bool", "BFloat"]
        let name = text(type, in: file, limit: 16) ?? ""
        return types.contains(where: name.hasPrefix) ? .mindSpore : nil
      }
      return nil
    default: return nil
    }
  }

  /// A short text; nil if it is long or not text.
  private static func text(_ range: Range<Int>, in file: MappedFile, limit: Int) -> String? {
    guard (1...limit).contains(range.count) else { return nil }
    let bytes = unsafe file.withBytes(in: range) { unsafe [UInt8]($0) }
    return String(validating: bytes, as: UTF8.self)
  }

  /// Why a file of another program is rejected; nil for other kinds.
  static func foreignRefusal(_ kind: Kind) -> FormatError? {
    let (what, hint): (String, Remedy)
    switch kind {
    case .ggml:
      what = "a GGML file from before GGUF (August 2023)"
      hint = "convert the original weights to GGUF with a current program, or use them directly"
    case .tfLite:
      what = "a TensorFlow Lite model"
      hint = "use the PyTorch or safetensors weights that it was made from"
    case .mindSpore:
      what = "a MindSpore file"
      hint =
        "save its parameters as safetensors (mindspore.save_checkpoint has format=\"safetensors\")"
    case .sentencePiece:
      what = "a SentencePiece tokenizer model"
      hint = "give the file of the weights; this file belongs in tokenizer/"
    case .hdf5:
      what = "an HDF5 file (as Keras writes)"
      hint =
        "save its arrays as safetensors; the weights of a Keras model have other names and shapes"
    case .numpy:
      what = "a NumPy array"
      hint =
        "save it as safetensors: safetensors.numpy.save_file({\"NAME\": numpy.load(FILE)}, OUT)"
    case .tensorRT:
      what = "a TensorRT engine"
      hint = "use the ONNX model or the weights that it was built from"
    case .openVINO:
      what = "an OpenVINO model"
      hint = "use the ONNX model or the weights that it was made from"
    case .coreML:
      what = "a Core ML model"
      hint = "use the PyTorch or safetensors weights that it was made from"
    case .flax:
      what = "a Flax file (MessagePack)"
      hint =
        "use the PyTorch or safetensors weights of the same model, or load it with from_flax=True "
        + "and save it again"
    default: return nil
    }
    return FormatError(.unsupported, "this is \(what), which is not read here", hint: hint)
  }
}

/// Damage from decoding a binary file as UTF-8 and encoding it again: every non-text byte became
/// U+FFFD, the bytes EF BF BD.
enum TextDamage {
  private static let window = 1 << 20

  /// The error, or an error that names this damage if the file shows it.
  static func explained(_ error: FormatError, _ file: MappedFile) -> FormatError {
    guard [.malformed, .truncated, .unrecognized].contains(error.code) else { return error }
    let ends = [
      0..<min(file.count, window), max(0, file.count - window)..<file.count,
    ]
    guard let count = ends.map({ replacements(in: $0, of: file) }).max(by: { $0 < $1 }), count > 0
    else { return error }
    return FormatError(
      .malformed,
      "this is a binary file that was decoded and written again as UTF-8 text: bytes that are no "
        + "text became U+FFFD (EF BF BD), \(count) times in \(min(file.count, window).of("byte"))",
      file: error.file, offset: 0,
      hint: "its values are lost; download or copy the file again as it is, not as text")
  }

  /// The number of EF BF BD sequences; 0 if they are not a tenth of the bytes. In damaged weights
  /// half of the bytes are replaced.
  private static func replacements(in range: Range<Int>, of file: MappedFile) -> Int {
    let count = unsafe file.withBytes(in: range) { bytes in
      var count = 0
      var index = 0
      while index + 2 < bytes.count {
        if unsafe bytes[index] == 0xEF && bytes[index + 1] == 0xBF && bytes[index + 2] == 0xBD {
          count += 1
          index += 3
        } else {
          index += 1
        }
      }
      return count
    }
    return count >= 16 && 30 * count >= range.count ? count : 0
  }
}
