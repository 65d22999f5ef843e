import Checkpoint
import FlatFormat
import ModelFormats

/// .sdflat files as tests check them.
enum FlatTools {
  /// Throws unless every byte of the file is what was written.
  static func requireSound(_ path: String) throws {
    let result = try FlatFile.verify(path)
    guard let damage = result.damages.first else { return }
    throw FormatError(.malformed, "\(damage)", file: path)
  }
}
