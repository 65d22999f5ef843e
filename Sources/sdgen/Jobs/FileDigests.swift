import Checkpoint
import Diffusion
import Glibc
import ModelFormats
import Terminal

/// Hashes of input files, each computed once while the file is unchanged.
final class FileDigests {
  /// A file's state: in practice, different contents have different states.
  private struct State: Hashable {
    let device: UInt
    let inode: UInt
    let size: Int
    let seconds: Int
    let nanoseconds: Int
  }

  private var known: [State: FileHashes] = [:]

  /// The hashes of a file; nil for other things, such as a directory.
  ///
  /// - Throws: ``FormatError`` if it cannot be read.
  func hashes(of path: String) throws(FormatError) -> FileHashes? {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    let state = State(
      device: UInt(status.st_dev), inode: UInt(status.st_ino), size: Int(status.st_size),
      seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
    if let hashes = known[state] { return hashes }
    let hashes = try FileHashes.of([path])[0]
    known[state] = hashes
    return hashes
  }

  /// The file in a field's value, without a word or scale after it.
  static func path(_ value: String, of field: JobField) -> String {
    switch field.name {
    case JobField.lora.name: ScaledFile(argument: value)?.path ?? value
    case JobField.embedding.name: EmbeddingArgument.split(value).path
    default: value
    }
  }
}
