import COneDNN
import ModelFormats

/// The oneDNN library, and the translation of its status codes into errors.
enum OneDNN {
  /// Opens the library at the first call. Nothing of oneDNN may be used before.
  ///
  /// - Throws: ``EngineError`` `missing` if there is no library that this code can use.
  static func require() throws(EngineError) {
    let library = onednn_open().pointee
    guard library.outcome != onednn_opened else { return }
    throw error(library)
  }

  private static func error(_ library: onednn_library) -> EngineError {
    let path = text(library.path)
    let detail = text(library.detail)
    let major = library.built_major
    let found = "oneDNN \(library.major).\(library.minor).\(library.patch) (\(path))"
    let package: Remedy = "\(install: "libdnnl\(major)")"
    let another: Remedy = "set SDLOOM_ONEDNN to the path of a oneDNN \(major).x library"
    func missing(_ message: String, _ hint: Remedy) -> EngineError {
      EngineError(.missing, message, context: "engine", hint: hint)
    }
    return switch library.outcome {
    case onednn_missing where library.is_named != 0:
      missing(
        "cannot load oneDNN from SDLOOM_ONEDNN: \(detail)",
        another + "; or unset it, and " + package)
    case onednn_missing:
      missing("cannot load oneDNN: \(detail)", package + ", or " + another)
    case onednn_other_version:
      missing(
        "found \(found), but this program was built for oneDNN \(major).x",
        another + ", or unset it")
    case onednn_other_runtime:
      missing(
        "found \(found), which was not built for OpenMP or TBB threads", package + ", or " + another
      )
    case onednn_incomplete:
      missing("\(path) does not have the function \(detail) of oneDNN", package + ", or " + another)
    default:
      EngineError(.library, "\(found) has no engine for this CPU", context: "engine")
    }
  }

  /// The text of an array of characters that ends with a zero.
  private static func text<Characters>(_ characters: Characters) -> String {
    withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }

  static func check(_ status: onednn_status, _ context: String) throws(EngineError) {
    guard status != onednn_success else { return }
    let reason =
      switch status {
      case onednn_out_of_memory: "out of memory"
      case onednn_unimplemented: "no implementation for this form"
      case onednn_invalid_arguments: "invalid arguments"
      default: "status \(status.rawValue)"
      }
    throw EngineError(
      status == onednn_out_of_memory ? .memory : .library, "oneDNN error: \(reason)",
      context: context)
  }
}

/// A compiled operation of oneDNN.
final class Primitive {
  let handle: onednn_primitive

  /// Takes over the primitive that `create` makes.
  init(
    _ context: String, _ create: (inout onednn_primitive?) -> onednn_status
  ) throws(EngineError) {
    var handle: onednn_primitive?
    try OneDNN.check(create(&handle), context)
    guard let handle else {
      throw EngineError(.library, "oneDNN gave no primitive", context: context)
    }
    self.handle = handle
  }

  deinit { onednn_primitive_destroy(handle) }

  var implementation: String { String(cString: onednn_implementation(handle)) }
  var scratchpadSize: Int { onednn_size(handle, onednn_working_memory) }

  /// The tensor `role` on bytes of ours.
  func memory(
    _ role: onednn_role, _ bytes: UnsafeMutableRawPointer, _ context: String
  ) throws(EngineError) -> Memory {
    var memory: onednn_memory?
    try OneDNN.check(onednn_memory_for(handle, role, bytes, &memory), context)
    return try Memory(memory, context)
  }

  func execute(
    on stream: onednn_stream, _ arguments: [onednn_argument], _ context: String
  ) throws(EngineError) {
    try OneDNN.check(
      onednn_execute(handle, stream, Int32(arguments.count), arguments), context)
  }
}

/// A tensor as oneDNN sees it: a layout on bytes that it may or may not own.
final class Memory {
  let handle: onednn_memory
  /// Keeps the bytes alive where nobody else does.
  let bytes: Allocation?

  fileprivate init(_ handle: onednn_memory?, _ context: String) throws(EngineError) {
    guard let handle else {
      throw EngineError(.library, "oneDNN gave no memory object", context: context)
    }
    self.handle = handle
    bytes = nil
  }

  /// A plain layout on bytes of ours, which the caller keeps.
  init(
    _ dimensions: [Int], _ type: onednn_type, _ order: onednn_order,
    on bytes: UnsafeMutableRawPointer, _ context: String
  ) throws(EngineError) {
    var handle: onednn_memory?
    let status = onednn_memory_create(
      Int32(dimensions.count), dimensions.map(Int64.init), type, order, bytes, &handle)
    try OneDNN.check(status, context)
    guard let handle else {
      throw EngineError(.library, "oneDNN gave no memory object", context: context)
    }
    self.handle = handle
    self.bytes = nil
  }

  /// New bytes in the layout that `primitive` asks for its tensor `role`.
  init(
    for primitive: Primitive, _ role: onednn_role, in file: WeightFile? = nil, _ context: String
  ) throws(EngineError) {
    let size = onednn_size(primitive.handle, role)
    let bytes =
      if let file {
        try Allocation(byteCount: size, in: file, context: context)
      } else {
        try Allocation(byteCount: size, context: context)
      }
    var handle: onednn_memory?
    let status = onednn_memory_for(primitive.handle, role, bytes.pointer, &handle)
    try OneDNN.check(status, context)
    guard let handle else {
      throw EngineError(.library, "oneDNN gave no memory object", context: context)
    }
    self.handle = handle
    self.bytes = bytes
  }

  deinit { onednn_memory_destroy(handle) }

  /// Bytes that it owns.
  var ownedByteCount: Int { bytes?.byteCount ?? 0 }

  /// Whether it has the layout that `primitive` asks for its tensor `role`.
  func fits(_ primitive: Primitive, _ role: onednn_role) -> Bool {
    onednn_fits(primitive.handle, role, handle) != 0
  }

  /// Moves it to other bytes, in the same layout.
  func move(to bytes: UnsafeMutableRawPointer, _ context: String) throws(EngineError) {
    try OneDNN.check(onednn_memory_move(handle, bytes), context)
  }

  /// Copies the values into `target`'s layout and type.
  func reorder(
    into target: Memory, on stream: onednn_stream, _ context: String
  ) throws(EngineError) {
    let reorder = try Primitive(context) { primitive in
      onednn_reorder_create(handle, target.handle, &primitive)
    }
    let space = try Allocation(byteCount: max(64, reorder.scratchpadSize), context: context)
    let scratchpad = try reorder.memory(onednn_working_memory, space.pointer, context)
    try reorder.execute(
      on: stream,
      [
        onednn_argument(role: onednn_source, memory: handle),
        onednn_argument(role: onednn_result, memory: target.handle),
        onednn_argument(role: onednn_working_memory, memory: scratchpad.handle),
      ], context)
  }
}
