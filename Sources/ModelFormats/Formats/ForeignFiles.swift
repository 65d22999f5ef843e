import OrderedJSON

/// Tells files of other programs whose magic number does not stand at the very beginning, or that
/// have none but fields that follow one another as theirs do.
///
/// Source: TFLite's and MindSpore Lite's schemas (a FlatBuffer's identifier is at byte 4); ggml's
/// `llama.cpp` before GGUF; SentencePiece's `sentencepiece_model.proto`; MindSpore's
/// `checkpoint.proto`; Core ML's `Model.proto` and the header of its `weight.bin`; the
/// serialization of Flax (MessagePack).
enum ForeignFiles {
  /// The identifier of a FlatBuffer.
  static func identifier(_ head: FileHead) -> ArraySlice<UInt8> {
    head.bytes.dropFirst(4).prefix(4)
  }

  /// Whether it is a Core ML file of weights.
  static func isCoreMLWeights(_ head: FileHead) -> Bool {
    let head = head.bytes
    return head.count >= 68 && head[0] > 0 && head[4..<8].elementsEqual([2, 0, 0, 0])
      && head[64..<68].elementsEqual([0xEF, 0xBE, 0xAD, 0xDE])
  }

  /// A map whose first key is a name, and whose first value is a map or an array.
  static func isFlax(_ head: [UInt8]) -> Bool {
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

  /// A kind of Protocol Buffers message.
  enum Message {
    case coreML
    case mindSpore
    case sentencePiece
  }

  /// Protocol Buffers messages, which have no magic number.
  static func messageKind(_ file: MappedFile) -> Message? {
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

  /// A short text; nil where it is long or none.
  private static func text(_ range: Range<Int>, in file: MappedFile, limit: Int) -> String? {
    guard (1...limit).contains(range.count) else { return nil }
    let bytes = unsafe file.withBytes(in: range) { unsafe [UInt8]($0) }
    return String(validating: bytes, as: UTF8.self)
  }
}
