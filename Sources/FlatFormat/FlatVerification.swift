import ModelFormats
import OrderedJSON
import Synchronization
import Threads

/// The result of verifying every byte of a .sdflat file.
public struct FlatVerification: Sendable {
  /// A range of the file with wrong bytes.
  public struct Damage: Sendable, Hashable, CustomStringConvertible {
    /// The tensor with its component, the embedded file, or the padding before one of them.
    public let subject: String
    /// The offset of the range in the file.
    public let offset: Int
    /// The size of the range.
    public let byteCount: Int

    public var description: String {
      "\(subject): the \(byteCount.of("byte")) from byte \(offset) on \(byteCount == 1 ? "is" : "are") damaged"
    }
  }

  /// The file.
  public let path: String
  /// Tensors and embedded files that were checked.
  public let checkedCount: Int
  /// The number of bytes read.
  public let byteCount: Int
  /// In file order; empty if the file is intact.
  public let damages: [Damage]

  /// Whether the file is intact.
  public var isSound: Bool { damages.isEmpty }
}

extension FlatFile {
  /// Verifies every byte of the .sdflat file at `path`, on all cores.
  ///
  /// - Throws: ``FormatError`` if the header itself is damaged or the file has another format.
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
  /// A range of the file with its expected checksum, or none for padding, which is all zeros.
  fileprivate struct Stretch: Sendable {
    let subject: String
    let range: Range<Int>
    let checksum: UInt64?
  }

  /// Everything after the header, without gaps.
  fileprivate var stretches: [Stretch] {
    var result: [Stretch] = []
    let tables = header.components.flatMap { component in
      component.tensors.map { ("\(component.name): \($0.name)", $0.region) }
    }
    // The file starts with the prelude and the header, which were checked on opening.
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
    // If its values are read next, they are still in the page cache.
    defer { file.releasePages(in: stretch.range) }
    return file.withBytes(in: stretch.range) { bytes in
      guard let checksum = stretch.checksum else { return bytes.allSatisfy { $0 == 0 } }
      return Checksum.of(bytes) == checksum
    }
  }
}
