import ModelFormats
import OrderedJSON
import Synchronization
import Threads

/// What a check of every byte of a flat file found.
public struct FlatVerification: Sendable {
  /// A stretch of the file whose bytes are not what was written.
  public struct Damage: Sendable, Hashable, CustomStringConvertible {
    /// The tensor with its component, the embedded file, or the padding before one of them.
    public let subject: String
    /// The byte of the file at which the stretch starts.
    public let offset: Int
    /// The length of the stretch.
    public let byteCount: Int

    public var description: String {
      "\(subject): the \(byteCount.of("byte")) from byte \(offset) on \(byteCount == 1 ? "is" : "are") damaged"
    }
  }

  /// The file.
  public let path: String
  /// Tensors and embedded files that were checked.
  public let checkedCount: Int
  /// How many bytes were read.
  public let byteCount: Int
  /// In the order of the file; empty where it is sound.
  public let damages: [Damage]

  /// Whether every byte is what was written.
  public var isSound: Bool { damages.isEmpty }
}

extension FlatFile {
  /// Checks every byte of the flat file at `path`, on all cores.
  ///
  /// - Throws: ``FormatError`` where the header itself is damaged or the file is of another format.
  public static func verify(_ path: String) throws(FormatError) -> FlatVerification {
    let flat = try FlatFile(MappedFile(path: path))
    let stretches = flat.stretches
    let damaged = Mutex<[Int]>([])
    Cores.each(stretches.count) { index in
      if !flat.isSound(stretches[index]) { damaged.withLock { $0.append(index) } }
    }
    let damages = damaged.withLock { $0 }.sorted().map { index in
      FlatVerification.Damage(
        subject: stretches[index].subject, offset: stretches[index].range.lowerBound,
        byteCount: stretches[index].range.count)
    }
    return FlatVerification(
      path: path, checkedCount: stretches.count { $0.checksum != nil }, byteCount: flat.file.count,
      damages: damages)
  }
}

extension FlatFile {
  /// A part of the file with the checksum that it must have, or none for padding, all zeros.
  fileprivate struct Stretch: Sendable {
    let subject: String
    let range: Range<Int>
    let checksum: UInt64?
  }

  /// All that follows the header, without gaps.
  fileprivate var stretches: [Stretch] {
    var result: [Stretch] = []
    let tables = header.components.flatMap { component in
      component.tensors.map { ("\(component.name): \($0.name)", $0.region) }
    }
    // The file starts with 64 bytes and the header, which opening has checked.
    var end = headerEnd
    for (subject, region) in header.files.map({ ($0.path, $0.region) }) + tables {
      let range = range(region)
      if range.lowerBound > end {
        result.append(
          Stretch(
            subject: "padding before \(subject)", range: end..<range.lowerBound, checksum: nil))
      }
      result.append(Stretch(subject: subject, range: range, checksum: region.checksum))
      end = range.upperBound
    }
    if end < file.count {
      result.append(Stretch(subject: "padding", range: end..<file.count, checksum: nil))
    }
    return result
  }

  fileprivate func isSound(_ stretch: Stretch) -> Bool {
    // Where it is read for its values next, the system still has it in its cache.
    defer { file.releasePages(in: stretch.range) }
    return file.withBytes(in: stretch.range) { bytes in
      guard let checksum = stretch.checksum else { return bytes.allSatisfy { $0 == 0 } }
      return Checksum.of(bytes) == checksum
    }
  }
}
