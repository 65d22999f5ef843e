import FlatFormat
import ModelFormats
import OrderedJSON

/// A pipeline's small files in the metadata of a single file, under `sdloom:` and their path, such
/// as `sdloom:unet/config.json`.
///
/// Single files have no configurations, so readers must guess the number of heads; these entries
/// avoid that. Other programs ignore them.
enum EmbeddedFiles {
  private static let prefix = "sdloom:"
  /// Also reads the prefix of versions that were called sdkit.
  private static let prefixes = [prefix, "sdkit:"]
  /// The maximum size of a file other than a tokenizer's.
  private static let sizeLimit = 64 << 10

  static func isKey(_ key: String) -> Bool { path(of: key) != nil }

  /// The path of the file in a metadata entry.
  private static func path(of key: String) -> String? {
    prefixes.first(where: key.hasPrefix).map { String(key.dropFirst($0.count)) }
  }

  /// The files that metadata can store. They include a tokenizer's vocabulary and merges unless
  /// they are CLIP's, which readers of single files have.
  static func held(_ files: [AuxiliaryFile]) -> [AuxiliaryFile] {
    let tokenizer = TokenizerFiles(in: files)
    let holdsVocabulary = tokenizer.isComplete && !tokenizer.isCLIPWithSettings
    return files.filter { file in
      let isHeld =
        if TokenizerFiles.isVocabulary(file.path) {
          holdsVocabulary
        } else {
          file.path.hasSuffix(".json") && file.byteCount <= sizeLimit
        }
      return isHeld && String(validating: file.bytes, as: UTF8.self) != nil
    }
  }

  /// The metadata entries for `files`.
  static func pairs(_ files: [AuxiliaryFile]) -> [(key: String, value: String)] {
    files.map { (key: prefix + $0.path, value: String(decoding: $0.bytes, as: UTF8.self)) }
  }

  /// The files in a file's metadata; entries that are not JSON objects are ignored.
  static func files(
    in metadata: [(key: String, value: String)], of path: String, _ warnings: inout [String]
  ) -> [AuxiliaryFile] {
    var files: [AuxiliaryFile] = []
    for (key, value) in metadata {
      guard let name = self.path(of: key) else { continue }
      let file = AuxiliaryFile(path: name, location: path, bytes: Array(value.utf8))
      let isUsable =
        file.path.hasSuffix(".txt")
        ? TokenizerFiles.isVocabulary(file.path) : (try? file.jsonObject()) != nil
      guard FlatHeader.isSafe(file.path), isUsable else {
        warnings.append(
          "the metadata \(key) is ignored: it is not a JSON file of a diffusers directory")
        continue
      }
      files.append(file)
    }
    return files
  }
}
