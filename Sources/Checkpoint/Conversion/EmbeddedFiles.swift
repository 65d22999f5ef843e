import FlatFormat
import ModelFormats
import OrderedJSON

/// The small files of a pipeline inside the metadata of a single file, under `sdloom:` and their
/// path, as in `sdloom:unet/config.json`.
///
/// A single file has no place for configurations, so that a reader has to guess the number of
/// heads; with these it need not. Other programs leave them unread.
enum EmbeddedFiles {
  private static let prefix = "sdloom:"
  /// Also read: what versions that were called sdkit wrote.
  private static let prefixes = [prefix, "sdkit:"]
  /// The largest file but a tokenizer's.
  private static let sizeLimit = 64 << 10

  static func isKey(_ key: String) -> Bool { path(of: key) != nil }

  /// The path of the file that a pair of metadata contains.
  private static func path(of key: String) -> String? {
    prefixes.first(where: key.hasPrefix).map { String(key.dropFirst($0.count)) }
  }

  /// Those of `files` that metadata can hold. A tokenizer's vocabulary and merges are among them
  /// unless they are CLIP's, which whoever reads single files has.
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

  /// The pairs of metadata that hold `files`.
  static func pairs(_ files: [AuxiliaryFile]) -> [(key: String, value: String)] {
    files.map { (key: prefix + $0.path, value: String(decoding: $0.bytes, as: UTF8.self)) }
  }

  /// The files that the metadata of a file hold; those that are no JSON objects are left out.
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
