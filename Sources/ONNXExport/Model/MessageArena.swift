import COnnx

/// Memory of the C messages of one model, freed all at once.
final class MessageArena {
  private var blocks: [UnsafeMutableRawPointer] = []

  deinit {
    for block in blocks { block.deallocate() }
  }

  private func allocate<T>(_ count: Int, of type: T.Type) -> UnsafeMutablePointer<T> {
    let block = UnsafeMutableRawPointer.allocate(
      byteCount: max(1, count * MemoryLayout<T>.stride), alignment: 16)
    blocks.append(block)
    return block.bindMemory(to: type, capacity: count)
  }

  /// A message initialized by the generated `initialize` and filled by `fill`.
  func message<T>(
    _ initialize: (UnsafeMutablePointer<T>) -> Void, _ fill: (inout T) -> Void
  ) -> UnsafeMutablePointer<T> {
    let message = allocate(1, of: T.self)
    initialize(message)
    fill(&message.pointee)
    return message
  }

  func array<T>(_ elements: [T]) -> UnsafeMutablePointer<T> {
    let array = allocate(elements.count, of: T.self)
    array.initialize(from: elements, count: elements.count)
    return array
  }

  /// An array of pointers, the form of repeated message fields.
  func pointers<T>(
    _ elements: [UnsafeMutablePointer<T>]
  ) -> UnsafeMutablePointer<UnsafeMutablePointer<T>?> {
    array(elements.map(Optional.some))
  }

  func string(_ text: String) -> UnsafeMutablePointer<CChar> {
    array(Array(text.utf8CString))
  }

  func strings(_ texts: [String]) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> {
    array(texts.map { .some(string($0)) })
  }

  func bytes(_ bytes: [UInt8]) -> ProtobufCBinaryData {
    ProtobufCBinaryData(len: bytes.count, data: array(bytes))
  }
}
