import COnnxRuntime
import ModelFormats

/// The functions of the library that was opened, with its errors as ours.
struct RuntimeFunctions: @unchecked Sendable {
  let table: ort_functions

  init(_ table: ort_functions) {
    self.table = table
  }

  /// Throws the error of a status, and releases it; null is success.
  func check(_ status: OpaquePointer?, _ context: String) throws(EngineError) {
    guard let status else { return }
    throw error(status, context)
  }

  /// The object that `create` makes.
  func object(
    _ context: String, _ create: (inout OpaquePointer?) -> OpaquePointer?
  ) throws(EngineError) -> OpaquePointer {
    var object: OpaquePointer?
    try check(create(&object), context)
    guard let object else {
      throw EngineError(.library, "ONNX Runtime gave no object", context: context)
    }
    return object
  }

  private func error(_ status: OpaquePointer, _ context: String) -> EngineError {
    let code = table.GetErrorCode(status)
    let text = table.GetErrorMessage(status).map { String(cString: $0) } ?? ""
    table.ReleaseStatus(status)
    let sentence = RuntimeMessage.sentence(text)
    if RuntimeMessage.isShortage(text) {
      return EngineError(
        .memory, "ONNX Runtime cannot allocate memory: \(sentence)", context: context,
        hint: "use a smaller picture, fewer pictures at once, or a model in F16")
    }
    switch Int(code) {
    case ort_not_implemented, ort_invalid_graph:
      return EngineError(.unsupported, sentence, context: context)
    case ort_invalid_protobuf, ort_no_such_file:
      return EngineError(
        .model, "ONNX Runtime cannot read the model: \(sentence)", context: context,
        hint: "export the network again")
    default:
      return EngineError(.library, "ONNX Runtime error: \(sentence)", context: context)
    }
  }

  /// The keys and values of an object of pairs.
  func pairs(_ pairs: OpaquePointer?) -> [String: String] {
    guard let pairs else { return [:] }
    var keys: UnsafePointer<UnsafePointer<CChar>?>?
    var values: UnsafePointer<UnsafePointer<CChar>?>?
    var count = 0
    table.GetKeyValuePairs(pairs, &keys, &values, &count)
    guard let keys, let values else { return [:] }
    var result: [String: String] = [:]
    for index in 0..<count {
      guard let key = keys[index] else { continue }
      result[String(cString: key)] = values[index].map { String(cString: $0) } ?? ""
    }
    return result
  }

  /// Calls `body` with settings as the lists of keys and values that functions of the library take.
  static func withSettings<R>(
    _ settings: KnownProvider.Settings,
    _ body: (
      _ keys: UnsafePointer<UnsafePointer<CChar>?>?,
      _ values: UnsafePointer<UnsafePointer<CChar>?>?, _ count: Int
    ) -> R
  ) -> R {
    // One text for all, each ended by a zero, so that nothing moves.
    let texts = settings.flatMap { [FileName.bytes($0.key), FileName.bytes($0.value)] }
    let all = texts.flatMap { $0 }
    return all.withUnsafeBufferPointer { buffer in
      var starts: [UnsafePointer<CChar>?] = []
      var offset = 0
      for text in texts {
        starts.append(buffer.baseAddress.map { $0 + offset })
        offset += text.count
      }
      let keys = settings.indices.map { starts[2 * $0] }
      let values = settings.indices.map { starts[2 * $0 + 1] }
      return keys.withUnsafeBufferPointer { keys in
        values.withUnsafeBufferPointer { values in
          body(keys.baseAddress, values.baseAddress, settings.count)
        }
      }
    }
  }
}
