import Diffusion
import Glibc
import ModelFormats
import Pictures

extension PicturePath {
  static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }
}

extension PictureFile {
  /// Reads the image of an argument, for generation.
  ///
  /// - Parameter warn: receives a warning about a damaged but readable file.
  /// - Throws: as ``opened(_:)``.
  static func opened(_ path: String, _ warn: (String) -> Void) throws(FormatError) -> PictureFile {
    let file = try opened(path)
    if let damage = file.damage {
      warn("\(path) is damaged; parts of it may look wrong (libjpeg-turbo: \(damage))")
    }
    return file
  }

  /// Reads the image of an argument.
  ///
  /// - Throws: ``FormatError`` as ``PictureFile/read(_:)``, also if the path is a directory or a
  ///   device.
  static func opened(_ path: String) throws(FormatError) -> PictureFile {
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
      let isFolder = status.st_mode & S_IFMT == S_IFDIR
      throw FormatError(
        .unrecognized, isFolder ? "is a directory" : "not a regular file", file: path,
        hint: "pass an image: a PNG, JPEG or WebP file")
    }
    return try read(path)
  }
}
