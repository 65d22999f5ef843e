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
  /// Reads a picture that an argument names, to draw with.
  ///
  /// - Parameter warn: told what is wrong with a file of which there is a picture all the same.
  /// - Throws: as ``opened(_:)``.
  static func opened(_ path: String, _ warn: (String) -> Void) throws(FormatError) -> PictureFile {
    let file = try opened(path)
    if let damage = file.damage {
      warn("\(path) is damaged, and part of it may look wrong (libjpeg-turbo: \(damage))")
    }
    return file
  }

  /// Reads a picture that an argument names.
  ///
  /// - Throws: ``FormatError`` as ``PictureFile/read(_:)``, also where the path is a directory or a
  ///   device.
  static func opened(_ path: String) throws(FormatError) -> PictureFile {
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
      let isFolder = status.st_mode & S_IFMT == S_IFDIR
      throw FormatError(
        .unrecognized, isFolder ? "this is a directory" : "this is not a regular file", file: path,
        hint: "give a picture: a PNG, JPEG or WebP file")
    }
    return try read(path)
  }
}
