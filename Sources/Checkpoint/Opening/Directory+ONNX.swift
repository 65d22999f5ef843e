import ModelFormats

extension Directory {
  /// The error for a directory with ONNX models, directly or one level below; nil if it has none.
  func onnxExport() throws(FormatError) -> FormatError? {
    var models = files.filter { $0.hasSuffix(".onnx") }
    for name in directories {
      guard let directory = try? Directory(path: "\(path)/\(name)") else { continue }
      models += directory.files.filter { $0.hasSuffix(".onnx") }.map { "\(name)/\($0)" }
    }
    guard !models.isEmpty else { return nil }
    return FormatError(
      .unsupported, "this is an ONNX export: each of its models is a checkpoint of its own",
      file: path,
      hint: Remedy(
        "pass one model: " + models.prefix(6).map { "\(path)/\($0)" }.joined(separator: ", ")
          + (models.count > 6 ? ", …" : "")))
  }
}
