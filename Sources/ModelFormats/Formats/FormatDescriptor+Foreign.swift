import OrderedJSON

/// Files of weights of other programs, which are refused by name.
extension FormatDescriptor {
  /// A kind that is not read.
  ///
  /// - Parameter what: the kind with its article, which completes "this is …".
  private static func foreign(
    _ name: String, _ mark: Mark, _ what: String, hint: String
  ) -> FormatDescriptor {
    var kind = FormatDescriptor(name, mark)
    kind.refusal = { _ in
      FormatError(.unsupported, "this is \(what), which is not supported", hint: Remedy(hint))
    }
    return kind
  }

  /// ggml's formats before GGUF: 32-bit numbers that spell ggml, ggmf, ggjt and ggla, lowest byte
  /// first.
  package static let ggml = foreign(
    "ggml", .beginnings(["lmgg", "fmgg", "tjgg", "algg"].map { Array($0.utf8) }),
    "a GGML file from before GGUF (August 2023)",
    hint: "convert the original weights to GGUF with a current program, or use them directly")

  package static let tfLite = foreign(
    "tfLite", .test { ForeignFiles.identifier($0).elementsEqual("TFL3".utf8) },
    "a TensorFlow Lite model",
    hint: "use the PyTorch or safetensors weights that it was made from")

  package static let mindSpore = foreign(
    "mindSpore",
    .test { head in
      ["MSL2", "MSL1"].contains { ForeignFiles.identifier(head).elementsEqual($0.utf8) }
        || ForeignFiles.messageKind(head.file) == .mindSpore
    }, "a MindSpore file",
    hint:
      "save its parameters as safetensors (mindspore.save_checkpoint has format=\"safetensors\")")

  package static let sentencePiece = foreign(
    "sentencePiece", .test { ForeignFiles.messageKind($0.file) == .sentencePiece },
    "a SentencePiece tokenizer model",
    hint: "use the weights file; this file belongs in tokenizer/")

  package static let hdf5: FormatDescriptor = {
    var kind = foreign(
      "hdf5", .beginnings([[0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]]),
      "an HDF5 file (as Keras writes)",
      hint:
        "save its arrays as safetensors; the weights of a Keras model have other names and shapes"
    )
    kind.endings = [".h5"]
    kind.isWeights = true
    kind.closedName = Content.hierarchical
    return kind
  }()

  package static let numpy: FormatDescriptor = {
    var kind = foreign(
      "numpy", .beginnings([[0x93] + Array("NUMPY".utf8)]), "a NumPy array",
      hint:
        "save it as safetensors: safetensors.numpy.save_file({\"NAME\": numpy.load(FILE)}, OUT)")
    kind.mayRunCode = true
    return kind
  }()

  package static let tensorRT = foreign(
    "tensorRT", .beginnings(["ftrt", "ptrt"].map { Array($0.utf8) }), "a TensorRT engine",
    hint: "use the ONNX model or the weights that it was built from")

  /// OpenVINO's graphs, whose weights lie in the file of the same name with the ending `.bin`.
  package static let openVINO = foreign(
    "openVINO",
    .test { head in
      head.isText("<") && head.text?.firstRange(of: "<net ".utf8) != nil
        && head.text?.firstRange(of: "<layer".utf8) != nil
    }, "an OpenVINO model", hint: "use the ONNX model or the weights that it was made from")

  package static let coreML = foreign(
    "coreML",
    .test { ForeignFiles.isCoreMLWeights($0) || ForeignFiles.messageKind($0.file) == .coreML },
    "a Core ML model", hint: "use the PyTorch or safetensors weights that it was made from")

  package static let flax: FormatDescriptor = {
    var kind = foreign(
      "flax", .test { ForeignFiles.isFlax($0.bytes) }, "a Flax file (MessagePack)",
      hint:
        "use the PyTorch or safetensors weights of the same model, or load it with from_flax=True "
        + "and save it again")
    kind.endings = [".msgpack"]
    kind.isWeights = true
    return kind
  }()
}
