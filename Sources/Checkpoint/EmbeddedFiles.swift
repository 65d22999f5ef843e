import ModelFormats
import OrderedJSON

/// The small files of a pipeline inside the metadata of a single file, under `sdkit:` and their
/// path, as in `sdkit:unet/config.json`.
///
/// A single file has no place for configurations, so that a reader has to guess the number of
/// heads; with these it need not. Other programs leave them unread.
enum EmbeddedFiles {
  private static let prefix = "sdkit:"
  /// Vocabulary and merges are left out.
  private static let sizeLimit = 64 << 10

  static func isKey(_ key: String) -> Bool { key.hasPrefix(prefix) }

  /// The pairs of metadata that hold `files`.
  static func pairs(_ files: [AuxiliaryFile]) -> [(key: String, value: String)] {
    files.compactMap { file in
      guard file.path.hasSuffix(".json"), file.byteCount <= sizeLimit,
        let text = String(validating: file.bytes, as: UTF8.self)
      else { return nil }
      return (key: prefix + file.path, value: text)
    }
  }

  /// The files that the metadata of a file hold; those that are no JSON objects are left out.
  static func files(
    in metadata: [(key: String, value: String)], of path: String, _ warnings: inout [String]
  ) -> [AuxiliaryFile] {
    var files: [AuxiliaryFile] = []
    for (key, value) in metadata where isKey(key) {
      let file = AuxiliaryFile(
        path: String(key.dropFirst(prefix.count)), location: path, bytes: Array(value.utf8))
      guard FlatHeader.isSafe(file.path), (try? file.jsonObject()) != nil else {
        warnings.append("the metadata \(key) is not used: it is no JSON file of a repository")
        continue
      }
      files.append(file)
    }
    return files
  }
}
