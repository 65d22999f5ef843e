import CKernels
import COneDNN
import Glibc
import ModelFormats
import ModelGraph

/// A graph's learned tensors in the form that its layers read.
///
/// Each is read once from its source. Matrices are kept in the layout that oneDNN's primitives
/// request; a primitive with another shape and layout gets its own copy.
final class Parameters {
  typealias Source = (String) throws -> Tensor

  private let graph: Graph
  /// Set while loading.
  private var source: Source?
  private var progress: ((Int, Int) -> Void)?
  private var loaded = 0
  private var vectors: [Graph.ParameterID: Allocation] = [:]
  private var tables: [Graph.ParameterID: (Allocation, sdk_type)] = [:]
  private var matrices: [Graph.ParameterID: [Memory]] = [:]
  private var packed: [Panels: Allocation] = [:]
  private var zeroVectors: [Int: Allocation] = [:]
  private var staging: Allocation?

  /// A matrix or convolution weights in the layout of sdloom's kernels.
  struct Panels: Hashable {
    let id: Graph.ParameterID
    let type: UInt32
    let method: UInt32
    let isGated: Bool
  }

  /// The file that contains matrices and tables, if they are not in memory.
  private let file: WeightFile?

  init(graph: Graph, file: WeightFile? = nil) {
    self.graph = graph
    self.file = file
  }

  /// The packed weights used since ``collectUses()``, if they are in a file.
  private var uses: [UnsafeRawBufferPointer] = []

  /// The packed weights in a file used since the last call.
  func collectUses() -> [UnsafeRawBufferPointer] {
    defer { uses = [] }
    return uses
  }

  /// Starts reading weights in a file.
  func fetch(_ weights: [UnsafeRawBufferPointer]) {
    for bytes in weights { file?.fetch(bytes) }
  }

  /// Releases the pages of weights in a file.
  func release() { file?.release() }

  private func use(_ weights: Allocation?) {
    guard file != nil, let weights else { return }
    uses.append(UnsafeRawBufferPointer(start: weights.pointer, count: weights.byteCount))
  }

  private func allocation(_ byteCount: Int, _ context: String) throws(EngineError) -> Allocation {
    guard let file else { return try Allocation(byteCount: byteCount, context: context) }
    return try Allocation(byteCount: byteCount, in: file, context: context)
  }

  /// Runs `body`, in which requested parameters are read from `source`.
  func loading<R>(
    _ source: (String) throws -> Tensor, _ progress: ((Int, Int) -> Void)?,
    _ body: () throws -> R
  ) throws -> R {
    try withoutActuallyEscaping(source) { source in
      self.source = source
      self.progress = progress
      defer {
        self.source = nil
        self.progress = nil
        staging = nil
      }
      return try body()
    }
  }

  /// The size of the tensors in bytes.
  var byteCount: Int {
    vectors.values.reduce(0) { $0 + $1.byteCount }
      + tables.values.reduce(0) { $0 + $1.0.byteCount }
      + matrices.values.reduce(0) { $0 + $1.reduce(0) { $0 + $1.ownedByteCount } }
      + packed.values.reduce(0) { $0 + $1.byteCount }
  }

  /// A bias, a scale or a position embedding, in f32.
  func vector(_ id: Graph.ParameterID) throws -> UnsafePointer<Float> {
    let vector: Allocation
    if let known = vectors[id] {
      vector = known
    } else {
      vector = try Allocation(
        byteCount: graph[id].elementCount * 4, context: graph[id].name)
      try withTensor(id) { bytes, type, count in
        sdk_convert(bytes, type, vector.pointer, SDK_F32, count)
      }
      vectors[id] = vector
    }
    return UnsafePointer(vector.pointer.assumingMemoryBound(to: Float.self))
  }

  /// Zeros in place of a missing bias.
  func zeros(_ count: Int) throws -> UnsafePointer<Float> {
    let vector =
      try zeroVectors[count] ?? Allocation(byteCount: count * 4, context: graph.name.rawValue)
    memset(vector.pointer, 0, count * 4)
    zeroVectors[count] = vector
    return UnsafePointer(vector.pointer.assumingMemoryBound(to: Float.self))
  }

  /// A table whose rows are read individually, in its stored dtype.
  func table(_ id: Graph.ParameterID) throws -> (rows: UnsafeRawPointer, type: sdk_type) {
    if let (table, type) = tables[id] { return (UnsafeRawPointer(table.pointer), type) }
    let (table, type) = try withTensor(id) { bytes, type, count in
      let table = try allocation(count * sdk_type_size(type), graph[id].name)
      table.pointer.copyMemory(from: bytes, byteCount: count * sdk_type_size(type))
      return (table, type)
    }
    tables[id] = (table, type)
    return (UnsafeRawPointer(table.pointer), type)
  }

  /// A weight in the layout that `primitive` requests.
  ///
  /// - Parameters:
  ///   - dimensions: the weight's dimensions as the primitive sees them.
  ///   - order: how the tensor's values lie in those dimensions.
  func matrix(
    _ id: Graph.ParameterID, for primitive: Primitive, dimensions: [Int],
    order: onednn_order, on stream: onednn_stream
  ) throws -> Memory {
    let name = graph[id].name
    if let memory = matrices[id]?.first(where: { $0.fits(primitive, onednn_weights) }) {
      use(memory.bytes)
      return memory
    }
    let packed = try Memory(for: primitive, onednn_weights, in: file, name)
    use(packed.bytes)
    if let other = matrices[id]?.first {
      try other.reorder(into: packed, on: stream, name)
    } else {
      try withTensor(id) { bytes, type, count in
        let plain = try f32(bytes, type, count)
        let memory = try Memory(dimensions, onednn_f32, order, on: plain, name)
        try memory.reorder(into: packed, on: stream, name)
      }
    }
    matrices[id, default: []].append(packed)
    return packed
  }

  /// A weight in panels.
  ///
  /// - Parameters:
  ///   - outputs, inputs, taps: the weight's dimensions.
  ///   - method: the convolution method of transformed weights, or `SDK_DIRECT`.
  func panels(
    _ id: Graph.ParameterID, outputs: Int, inputs: Int, taps: Int, type: sdk_type,
    method: sdk_method = SDK_DIRECT, isGated: Bool = false
  ) throws -> UnsafeRawPointer {
    let key = Panels(id: id, type: type.rawValue, method: method.rawValue, isGated: isGated)
    if let known = packed[key] {
      use(known)
      return UnsafeRawPointer(known.pointer)
    }
    var form = sdk_packing()
    form.outputs = outputs
    form.inputs = inputs
    form.taps = taps
    form.type = type
    form.method = method
    form.gated = isGated ? 1 : 0
    let bytes = try allocation(sdk_packed_size(&form), graph[id].name)
    use(bytes)
    try withTensor(id) { values, stored, _ in
      form.source = values
      form.source_type = stored
      sdk_pack(&form, bytes.pointer)
    }
    packed[key] = bytes
    return UnsafeRawPointer(bytes.pointer)
  }

  /// The values in f32, aligned to four bytes: in place if possible.
  private func f32(
    _ bytes: UnsafeRawPointer, _ type: sdk_type, _ count: Int
  ) throws(EngineError) -> UnsafeMutableRawPointer {
    if type == SDK_F32, Int(bitPattern: bytes) % 4 == 0 {
      // Only read from.
      return UnsafeMutableRawPointer(mutating: bytes)
    }
    if let staging, staging.byteCount >= count * 4 {
      sdk_convert(bytes, type, staging.pointer, SDK_F32, count)
      return staging.pointer
    }
    // Free the old one before allocating the new one.
    staging = nil
    let larger = try Allocation(byteCount: count * 4, context: graph.name.rawValue)
    staging = larger
    sdk_convert(bytes, type, larger.pointer, SDK_F32, count)
    return larger.pointer
  }

  /// Calls `body` with the bytes of a parameter's tensor after checking it.
  private func withTensor<R>(
    _ id: Graph.ParameterID, _ body: (UnsafeRawPointer, sdk_type, Int) throws -> R
  ) throws -> R {
    let parameter = graph[id]
    guard let source else {
      throw EngineError(
        .parameter, "the parameter was not loaded with the others", context: parameter.name)
    }
    let tensor = try source(parameter.name)
    guard tensor.shape == Shape(parameter.shape) else {
      throw EngineError(
        .parameter, "the tensor's shape is \(tensor.shape), not \(Shape(parameter.shape))",
        context: "\(graph.name): \(parameter.name)")
    }
    let type: sdk_type
    switch tensor.dtype {
    case .float32: type = SDK_F32
    case .float16: type = SDK_F16
    case .bfloat16: type = SDK_BF16
    default:
      throw EngineError(
        .parameter, "unsupported dtype \(tensor.dtype.rawValue)",
        context: "\(graph.name): \(parameter.name)")
    }
    let result = try tensor.withContiguousBytes { (bytes: UnsafeRawBufferPointer) throws -> R in
      guard let base = bytes.baseAddress else {
        throw EngineError(.parameter, "the tensor is empty", context: parameter.name)
      }
      defer {
        if case .mapped = tensor.storage { Self.release(bytes) }
        file?.release()
      }
      return try body(base, type, tensor.elementCount)
    }
    try tensor.file?.requireUnchanged()
    loaded += 1
    progress?(loaded, graph.parameters.count)
    return result
  }

  /// Releases whole pages of a mapped file, so that they do not count as resident next to their
  /// packed copies. They are read again if touched.
  private static func release(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let first = (Int(bitPattern: base) + page - 1) / page * page
    let end = (Int(bitPattern: base) + bytes.count) / page * page
    guard end > first, let start = UnsafeMutableRawPointer(bitPattern: first) else { return }
    madvise(start, end - first, MADV_DONTNEED)
  }
}
