import COneDNN

/// oneDNN's CPU, and the translation of its status codes into errors.
enum OneDNN {
  /// The one CPU engine of the process, which oneDNN may use from any thread.
  nonisolated(unsafe) static let engine: dnnl_engine_t? = {
    var engine: dnnl_engine_t?
    return dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success ? engine : nil
  }()

  static func requireEngine() throws(EngineError) -> dnnl_engine_t {
    guard let engine else {
      throw EngineError(.library, "oneDNN finds no CPU it can use", context: "engine")
    }
    return engine
  }

  static func check(_ status: dnnl_status_t, _ context: String) throws(EngineError) {
    guard status != dnnl_success else { return }
    let reason =
      switch status {
      case dnnl_out_of_memory: "it is out of memory"
      case dnnl_unimplemented: "it has no implementation for this form"
      case dnnl_invalid_arguments: "the arguments are invalid"
      default: "status \(status.rawValue)"
      }
    throw EngineError(
      status == dnnl_out_of_memory ? .memory : .library, "oneDNN refuses: \(reason)",
      context: context)
  }
}

/// A compiled operation of oneDNN.
final class Primitive {
  let handle: dnnl_primitive_t

  /// Takes over the primitive that `create` makes.
  init(
    _ context: String, _ create: (dnnl_engine_t, inout dnnl_primitive_t?) -> dnnl_status_t
  ) throws(EngineError) {
    var handle: dnnl_primitive_t?
    try OneDNN.check(create(OneDNN.requireEngine(), &handle), context)
    guard let handle else {
      throw EngineError(.library, "oneDNN gave no primitive", context: context)
    }
    self.handle = handle
  }

  deinit { dnnl_primitive_destroy(handle) }

  var implementation: String { String(cString: onednn_implementation(handle)) }
  var scratchpadSize: Int { onednn_scratchpad_size(handle) }

  /// The tensor `role` on bytes of ours.
  func memory(
    _ role: onednn_role, _ bytes: UnsafeMutableRawPointer, _ context: String
  ) throws(EngineError) -> Memory {
    var memory: dnnl_memory_t?
    try OneDNN.check(
      onednn_memory_for(handle, role, OneDNN.requireEngine(), bytes, &memory), context)
    return try Memory(memory, context)
  }

  /// The scratchpad on bytes of ours, of which there must be `scratchpadSize`.
  func scratchpad(
    _ bytes: UnsafeMutableRawPointer, _ context: String
  ) throws(EngineError) -> Memory {
    var memory: dnnl_memory_t?
    try OneDNN.check(
      onednn_scratchpad(handle, OneDNN.requireEngine(), bytes, &memory), context)
    return try Memory(memory, context)
  }

  func execute(
    on stream: dnnl_stream_t, _ arguments: [dnnl_exec_arg_t], _ context: String
  ) throws(EngineError) {
    try OneDNN.check(
      dnnl_primitive_execute(handle, stream, Int32(arguments.count), arguments), context)
  }
}

/// A tensor as oneDNN sees it: a layout on bytes that it may or may not own.
final class Memory {
  let handle: dnnl_memory_t
  /// Keeps the bytes alive where nobody else does.
  let bytes: Allocation?

  fileprivate init(_ handle: dnnl_memory_t?, _ context: String) throws(EngineError) {
    guard let handle else {
      throw EngineError(.library, "oneDNN gave no memory object", context: context)
    }
    self.handle = handle
    bytes = nil
  }

  /// A plain layout on bytes of ours, which the caller keeps.
  init(
    _ dimensions: [Int], _ type: dnnl_data_type_t, _ tag: dnnl_format_tag_t,
    on bytes: UnsafeMutableRawPointer, _ context: String
  ) throws(EngineError) {
    var handle: dnnl_memory_t?
    let status = onednn_memory_create(
      Int32(dimensions.count), dimensions.map { dnnl_dim_t($0) }, type, tag,
      try OneDNN.requireEngine(), bytes, &handle)
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
    var handle: dnnl_memory_t?
    let status = onednn_memory_for(
      primitive.handle, role, try OneDNN.requireEngine(), bytes.pointer, &handle)
    try OneDNN.check(status, context)
    guard let handle else {
      throw EngineError(.library, "oneDNN gave no memory object", context: context)
    }
    self.handle = handle
    self.bytes = bytes
  }

  deinit { dnnl_memory_destroy(handle) }

  /// Bytes that it owns.
  var ownedByteCount: Int { bytes?.byteCount ?? 0 }

  /// Whether it has the layout that `primitive` asks for its tensor `role`.
  func fits(_ primitive: Primitive, _ role: onednn_role) -> Bool {
    onednn_fits(primitive.handle, role, handle) != 0
  }

  /// Copies the values into `target`'s layout and type.
  func reorder(
    into target: Memory, on stream: dnnl_stream_t, _ context: String
  ) throws(EngineError) {
    let reorder = try Primitive(context) { engine, primitive in
      onednn_reorder_create(handle, target.handle, engine, &primitive)
    }
    let space = try Allocation(byteCount: max(64, reorder.scratchpadSize), context: context)
    let scratchpad = try reorder.scratchpad(space.pointer, context)
    try reorder.execute(
      on: stream,
      [
        dnnl_exec_arg_t(arg: DNNL_ARG_FROM, memory: handle),
        dnnl_exec_arg_t(arg: DNNL_ARG_TO, memory: target.handle),
        dnnl_exec_arg_t(arg: DNNL_ARG_SCRATCHPAD, memory: scratchpad.handle),
      ], context)
  }
}
