import FlatFormat
import ModelFormats
import Threads

/// Streams the values of many tensors to a file in order, on all cores: while one piece is written,
/// the next ones are cast and written ones are hashed.
///
/// Unchanged values are copied from file to file in small pieces. Memory use does not depend on the
/// size of the tensors.
final class TensorPump {
  /// The remaining work for one tensor.
  struct Item {
    let tensor: Tensor
    let dtype: DType
  }

  /// A tensor with values out of range, and their number.
  struct Overflow {
    let index: Int
    let count: Int
  }

  /// A range of a tensor's bytes, in the source's type.
  private struct Piece {
    let item: Int
    let source: Source
    let isFirst: Bool
    let isCast: Bool
  }

  private enum Source {
    case mapped(MappedFile, Range<Int>)
    /// Values that are in another order or encoded in their file.
    case memory([UInt8])

    var byteCount: Int {
      switch self {
      case .mapped(_, let range): range.count
      case .memory(let bytes): bytes.count
      }
    }

    func withBytes<E: Error>(
      _ body: (UnsafeRawBufferPointer) throws(E) -> Void
    ) throws(E) {
      switch self {
      case .mapped(let file, let range): try file.withBytes(in: range, body)
      case .memory(let bytes): try bytes.withUnsafeBytesTyped(body)
      }
    }
  }

  /// Pieces that are cast together, with room for the results.
  private final class Batch: @unchecked Sendable {
    var pieces: [Piece] = []
    /// The pieces to cast, by position.
    var casts: [(piece: Int, cast: Cast)] = []
    var overflows: [Int] = []
    private var rooms: [UnsafeMutableRawBufferPointer] = []

    deinit {
      for room in rooms { room.deallocate() }
    }

    func clear() {
      pieces = []
      casts = []
      overflows = []
    }

    /// The buffer of the cast at this position: for its result, followed by intermediate F32
    /// values.
    func room(_ cast: Int) -> UnsafeMutableRawBufferPointer {
      while rooms.count <= cast {
        rooms.append(.allocate(byteCount: 8 * Cast.pieceSize, alignment: 64))
      }
      return rooms[cast]
    }
  }

  /// Casts per batch, and bytes copied per batch.
  private static let castsPerBatch = 12
  private static let copiesPerBatch = 64 << 20
  private static let copyPiece = 16 << 20

  private let items: [Item]
  private let isSaturating: Bool
  /// XXH3-64 of each tensor's bytes in the target, on request.
  private let checksums: [Checksum]
  private let hashing = SerialWork()
  private var position = 0
  private var offset = 0
  private let buffer = BlockBuffer()

  init(_ items: [Item], isSaturating: Bool, isHashing: Bool) {
    self.items = items
    self.isSaturating = isSaturating
    checksums = isHashing ? items.map { _ in Checksum() } : []
  }

  /// The checksum of the tensor at this position, valid after ``run(into:begin:advance:)``.
  func checksum(_ index: Int) -> UInt64 { checksums[index].value }

  /// Copies everything.
  ///
  /// - Parameters:
  ///   - begin: called before the first bytes of each tensor, with its position.
  ///   - advance: called with the bytes of that tensor written since the last call.
  /// - Returns: tensors with values out of range. Unless values are clamped, nothing is written
  ///   from the first of them on.
  func run(
    into sink: some TensorSink, begin: (_ index: Int) throws(FormatError) -> Void,
    advance: (_ index: Int, _ bytes: Int) -> Void
  ) throws(FormatError) -> [Overflow] {
    var casting: BackgroundWork?
    // Keep the memory while another core may still use it.
    defer {
      casting?.wait()
      hashing.end()
    }
    var counts: [Int: Int] = [:]
    var current = Batch()
    var next = Batch()
    try fill(current)
    TensorPump.cast(current)
    while !current.pieces.isEmpty {
      try fill(next)
      let ahead = next
      casting = ahead.casts.isEmpty ? nil : BackgroundWork { TensorPump.cast(ahead) }
      for (cast, count) in zip(current.casts, current.overflows) where count > 0 {
        counts[current.pieces[cast.piece].item, default: 0] += count
      }
      if isSaturating || counts.isEmpty {
        try write(current, into: sink, begin: begin, advance: advance)
      }
      hashing.drain()
      casting?.wait()
      swap(&current, &next)
    }
    return counts.sorted { $0.key < $1.key }.map { Overflow(index: $0.key, count: $0.value) }
  }

  // MARK: Batches

  /// Fills a batch with the next pieces.
  private func fill(_ batch: Batch) throws(FormatError) {
    batch.clear()
    var copied = 0
    while position < items.count, batch.casts.count < TensorPump.castsPerBatch,
      copied < TensorPump.copiesPerBatch, batch.pieces.count < 4096
    {
      let item = items[position]
      let cast =
        item.dtype == item.tensor.dtype
        ? nil : Cast(from: item.tensor.dtype, to: item.dtype, saturating: isSaturating)
      let width = item.tensor.dtype.bitWidth / 8
      let source: Source
      let end: Int
      if case .mapped(let file, let start) = item.tensor.storage {
        let limit = cast == nil ? TensorPump.copyPiece : Cast.pieceSize * width
        end = min(offset + limit, item.tensor.byteCount)
        source = .mapped(file, (start + offset)..<(start + end))
      } else {
        (source, end) = try read(item.tensor)
        // These are kept until they are written.
        copied += 3 * source.byteCount
      }
      if let cast {
        batch.casts.append((batch.pieces.count, cast))
      } else {
        copied += source.byteCount
      }
      batch.pieces.append(
        Piece(item: position, source: source, isFirst: offset == 0, isCast: cast != nil))
      offset = end
      if offset == item.tensor.byteCount {
        try item.tensor.file?.requireUnchanged()
        offset = 0
        position += 1
      }
    }
    // Allocate here: the casts must not.
    for index in batch.casts.indices { _ = batch.room(index) }
    batch.overflows = [Int](repeating: 0, count: batch.casts.count)
  }

  /// The next values of a tensor that cannot be copied directly, and the byte where they end.
  private func read(_ tensor: Tensor) throws(FormatError) -> (source: Source, end: Int) {
    let start = offset * 8 / tensor.dtype.bitWidth
    let elements = start..<min(start + Cast.pieceSize, tensor.elementCount)
    let bytes = try tensor.withElements(elements, buffer) { Array($0) }
    return (.memory(bytes), offset + bytes.count)
  }

  private static func cast(_ batch: Batch) {
    guard !batch.casts.isEmpty else { return }
    batch.overflows.withUnsafeMutableBufferPointer { overflows in
      let counts = SharedBuffer(overflows)
      Cores.each(batch.casts.count) { index in
        let (piece, cast) = batch.casts[index]
        guard let room = batch.room(index).baseAddress else { return }
        batch.pieces[piece].source.withBytes { bytes in
          guard let base = bytes.baseAddress else { return }
          counts.buffer[index] = cast.apply(
            to: base, count: bytes.count / (cast.source.bitWidth / 8), into: room,
            scratch: room + 4 * Cast.pieceSize)
        }
      }
    }
  }

  private func write(
    _ batch: Batch, into sink: some TensorSink, begin: (Int) throws(FormatError) -> Void,
    advance: (Int, Int) -> Void
  ) throws(FormatError) {
    var casts = 0
    for piece in batch.pieces {
      if piece.isFirst { try begin(piece.item) }
      if piece.isCast {
        let item = items[piece.item]
        let count =
          piece.source.byteCount / (item.tensor.dtype.bitWidth / 8) * (item.dtype.bitWidth / 8)
        let bytes = UnsafeRawBufferPointer(rebasing: batch.room(casts)[..<count])
        casts += 1
        hash(bytes, of: piece.item)
        try sink.write(bytes)
        advance(piece.item, count)
      } else if case .mapped(let file, let range) = piece.source {
        // On this thread, which waits for the disk: the data is in this core's cache.
        hashing.drain()
        try sink.copy(range, of: file) { bytes in
          if !checksums.isEmpty { checksums[piece.item].update(bytes) }
        }
        advance(piece.item, range.count)
      } else {
        try piece.source.withBytes { (bytes) throws(FormatError) in
          hashing.drain()
          if !checksums.isEmpty { checksums[piece.item].update(bytes) }
          try sink.write(bytes)
          advance(piece.item, bytes.count)
        }
      }
    }
  }

  // MARK: Hashing

  private func hash(_ bytes: UnsafeRawBufferPointer, of item: Int) {
    guard !checksums.isEmpty else { return }
    let work = SharedWork(checksum: checksums[item], bytes: bytes)
    hashing.add { work.checksum.update(work.bytes) }
  }

  /// A checksum is accessed in only one of the two orders at a time; bytes are kept until they are
  /// hashed.
  private struct SharedWork: @unchecked Sendable {
    let checksum: Checksum
    let bytes: UnsafeRawBufferPointer
  }

  /// Each core writes its own element.
  private struct SharedBuffer: @unchecked Sendable {
    let buffer: UnsafeMutableBufferPointer<Int>

    init(_ buffer: UnsafeMutableBufferPointer<Int>) {
      self.buffer = buffer
    }
  }
}
