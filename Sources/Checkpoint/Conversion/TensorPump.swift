import FlatFormat
import ModelFormats
import Threads

/// Brings the values of many tensors to a file in their order, on all cores: while one piece is
/// written, the next ones are cast, and what was written is hashed.
///
/// Values that stay as they are go from file to file in small pieces. Memory does not depend on the
/// size of the tensors.
final class TensorPump {
  /// What is left to do with one tensor.
  struct Item {
    let tensor: Tensor
    let dtype: DType
  }

  /// A tensor whose values F16 does not hold, with how many of them.
  struct Overflow {
    let index: Int
    let count: Int
  }

  /// A stretch of a tensor's bytes, in the type that it has in the source.
  private struct Piece {
    let item: Int
    let source: Source
    let isFirst: Bool
    let isCast: Bool
  }

  private enum Source {
    case mapped(MappedFile, Range<Int>)
    /// Values that lie in their file in another order, or encoded.
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
    /// The pieces that are cast, by their position.
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

    /// The room of the cast at that position: for its result, and behind it for F32 in between.
    func room(_ cast: Int) -> UnsafeMutableRawBufferPointer {
      while rooms.count <= cast {
        rooms.append(.allocate(byteCount: 8 * Cast.pieceSize, alignment: 64))
      }
      return rooms[cast]
    }
  }

  /// Casts in one batch, and bytes that are copied in one.
  private static let castsPerBatch = 12
  private static let copiesPerBatch = 64 << 20
  private static let copyPiece = 16 << 20

  private let items: [Item]
  private let isSaturating: Bool
  /// XXH3-64 of each tensor's bytes in the target, where they are asked for.
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

  /// The checksum of the tensor at that position, after ``run(into:begin:advance:)``.
  func checksum(_ index: Int) -> UInt64 { checksums[index].value }

  /// Moves everything.
  ///
  /// - Parameters:
  ///   - begin: called before the first bytes of the tensor at that position.
  ///   - advance: called with the bytes of that tensor that were written since.
  /// - Returns: tensors with values that F16 does not hold. Unless it saturates, nothing is written
  ///   from the first of them on.
  func run(
    into sink: some TensorSink, begin: (_ index: Int) throws(FormatError) -> Void,
    advance: (_ index: Int, _ bytes: Int) -> Void
  ) throws(FormatError) -> [Overflow] {
    var casting: BackgroundWork?
    // No memory goes away while another core may still use it.
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

  /// Takes the next pieces.
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
        // These are held until they are written.
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
    // Made here: the casts must not.
    for index in batch.casts.indices { _ = batch.room(index) }
    batch.overflows = [Int](repeating: 0, count: batch.casts.count)
  }

  /// The next values of a tensor that do not lie as they are in a file, and the byte where they end.
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
        // On this thread, which waits for the disk: what passes is in this core's cache.
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

  /// A checksum is only touched in the one order, or while that rests; bytes stay until that has come
  /// to them.
  private struct SharedWork: @unchecked Sendable {
    let checksum: Checksum
    let bytes: UnsafeRawBufferPointer
  }

  /// Each core writes to an element of its own.
  private struct SharedBuffer: @unchecked Sendable {
    let buffer: UnsafeMutableBufferPointer<Int>

    init(_ buffer: UnsafeMutableBufferPointer<Int>) {
      self.buffer = buffer
    }
  }
}
