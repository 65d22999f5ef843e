import Checkpoint
import Foundation
import ModelFormats
import ModelGraph
import ONNXExport
import TestSupport
import Testing

/// What is on disk after an export of the bundled model.
@Suite struct ExportTests {
  private static let embedded = Fixtures.path("shapes-v2")

  private func model(_ path: String) throws -> ONNXModel {
    let bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
    return try bytes.withUnsafeBytes { try ONNXModel(parsing: $0) }
  }

  private func linking() -> ExportOptions {
    var options = ExportOptions()
    options.weights = .link
    return options
  }

  /// A separate repository that tests may export into.
  private func withRepository(_ body: (String) throws -> Void) throws {
    try withTemporaryFolder { folder in
      let repository = "\(folder)/model"
      try FileManager.default.copyItem(atPath: Self.embedded, toPath: repository)
      try body(repository)
    }
  }

  private func error(_ body: () throws -> Void) throws -> FormatError {
    do { try body() } catch let error as FormatError { return error }
    throw Missing()
  }
  private struct Missing: Error {}

  /// Every value of every weight, and where it is.
  @Test func copiedWeightsAreTheCheckpointsAsF32() throws {
    try withTemporaryFolder { folder in
      let out = "\(folder)/out"
      let report = try ONNXExporter.export(sources(Self.embedded), to: out)
      #expect(report.networks.map(\.weights) == [68, 442, 106, 74])
      for (network, name) in zip(try sources(Self.embedded), Published.names) {
        let data = [UInt8](try Data(contentsOf: URL(filePath: "\(out)/\(name)/model.onnx_data")))
        let initializers = try model("\(out)/\(name)/model.onnx").initializers
        for parameter in network.graph.parameters {
          let tensor = try network.tensor(parameter)
          let initializer = try #require(initializers.first { $0.name == tensor.name })
          #expect(initializer.shape == tensor.shape.dimensions)
          #expect(initializer.element == .float32)
          guard case .external(let place) = initializer.contents else {
            Issue.record("\(tensor.name) is inline")
            continue
          }
          #expect(place.length == 4 * tensor.elementCount)
          #expect(place.offset % (place.length > 1 << 20 ? 65_536 : 4_096) == 0)
          let expected = tensor.contiguousBytes().withUnsafeBytes { bytes in
            bytes.bindMemory(to: Float16.self).map { Float($0).bitPattern }
          }
          let written = data[place.offset..<(place.offset + place.length)].withUnsafeBytes {
            bytes in
            (0..<tensor.elementCount).map {
              bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)
            }
          }
          #expect(written == expected, "\(tensor.name)")
        }
      }
    }
  }

  /// The file's names, which for this VAE are those of 2022.
  @Test func initializersKeepTheNamesOfTheFile() throws {
    try withTemporaryFolder { folder in
      _ = try ONNXExporter.export(sources(Self.embedded, [.vaeDecoder]), to: folder)
      let names = try model("\(folder)/vae_decoder/model.onnx").initializers.map(\.name)
      #expect(names.contains("decoder.mid_block.attentions.0.proj_attn.weight"))
    }
  }

  @Test func linkedWeightsAreReadInPlace() throws {
    try withRepository { repository in
      let networks = try sources(repository)
      let report = try ONNXExporter.export(networks, to: repository, options: linking())
      #expect(report.networks.allSatisfy { $0.bytesCopied == 0 })
      // The VAE's weights are in neither of the two directories of its models.
      #expect(
        report.networks.map(\.modelPath) == [
          "\(repository)/text_encoder/model.onnx", "\(repository)/unet/model.onnx",
          "\(repository)/vae_decoder.onnx", "\(repository)/vae_encoder.onnx",
        ])
      for (network, written) in zip(networks, report.networks) {
        let initializers = try model(written.modelPath).initializers
        for parameter in network.graph.parameters {
          let tensor = try network.tensor(parameter)
          let initializer = try #require(initializers.first { $0.name == tensor.name })
          guard case .external(let place) = initializer.contents else {
            Issue.record("\(tensor.name) is inline")
            continue
          }
          let folder = URL(filePath: written.modelPath).deletingLastPathComponent()
          let handle = try FileHandle(forReadingFrom: folder.appending(path: place.location))
          try handle.seek(toOffset: UInt64(place.offset))
          let bytes = try #require(try handle.read(upToCount: place.length))
          #expect([UInt8](bytes) == tensor.contiguousBytes(), "\(tensor.name)")
        }
      }
    }
  }

  @Test func linkingFromElsewhereIsRefusedWithTheWayOut() throws {
    try withTemporaryFolder { folder in
      let networks = try sources(Self.embedded, [.unet])
      let out = "\(folder)/out"
      let error = try error {
        _ = try ONNXExporter.export(networks, to: out, options: linking())
      }
      #expect(error.code == .cannotCreate)
      #expect(error.hint?.mentions(.placement, "copy") == true)
      #expect(!FileManager.default.fileExists(atPath: out))
    }
  }

  @Test(.enabled(if: access("/dev/shm", W_OK) == 0, "no second file system at /dev/shm"))
  func linkingToAnotherFileSystemIsRefusedByName() throws {
    let files = FileManager.default
    let memory = "/dev/shm/sdloom-\(UUID().uuidString)"
    try files.createDirectory(atPath: memory, withIntermediateDirectories: false)
    defer { try? files.removeItem(atPath: memory) }
    let networks = try sources(Self.embedded, [.unet])
    let error = try error {
      _ = try ONNXExporter.export(networks, to: "\(memory)/a/b", options: linking())
    }
    #expect(error.code == .cannotCreate)
    #expect(error.message.contains("another file system"))
    #expect(error.hint?.mentions(.placement, "copy") == true)
    #expect(try files.contentsOfDirectory(atPath: memory).isEmpty)
  }

  /// A repository that is exported into may contain links that lead elsewhere.
  @Test(arguments: ["unet", "tokenizer"]) func linkedDirectoriesAreNotWrittenThrough(
    _ name: String
  ) throws {
    let files = FileManager.default
    let folder = files.temporaryDirectory.path + "/sdloom-\(UUID().uuidString)"
    defer { try? files.removeItem(atPath: folder) }
    try files.createDirectory(atPath: "\(folder)/out", withIntermediateDirectories: true)
    try files.createDirectory(atPath: "\(folder)/victim", withIntermediateDirectories: true)
    try files.createSymbolicLink(
      atPath: "\(folder)/out/\(name)", withDestinationPath: "../victim")
    let networks = try sources(Self.embedded, [.unet])
    let companion = CompanionFile(path: "tokenizer/vocab.json", contents: [0x7B, 0x7D])
    let error = try error {
      _ = try ONNXExporter.export(
        networks, companions: [companion], to: "\(folder)/out", options: ExportOptions())
    }
    #expect(error.code == .cannotCreate && error.message.contains("symbolic link"))
    #expect(try files.contentsOfDirectory(atPath: "\(folder)/victim").isEmpty)
    #expect(try files.contentsOfDirectory(atPath: "\(folder)/out") == [name])
  }

  /// Files that onnx's checker rejects as external data.
  @Test(arguments: ["symbolic link", "hard link", "two dots", "relative"])
  func weightsThatReadersRefuseAreNotLinked(kind: String) throws {
    try withRepository { repository in
      let files = FileManager.default
      let weights = "\(repository)/unet/diffusion_pytorch_model.safetensors"
      var path = repository
      switch kind {
      case "symbolic link", "relative":
        // For any spelling of the two paths.
        if kind == "relative" { path = repository + "/unet/../../model/./" }
        let elsewhere = "\(repository)/../elsewhere"
        try files.moveItem(atPath: weights, toPath: elsewhere)
        try files.createSymbolicLink(atPath: weights, withDestinationPath: elsewhere)
      case "hard link":
        try files.linkItem(atPath: weights, toPath: "\(repository)/second")
      default:
        path = "\(repository)/v1..5"
        try files.createDirectory(atPath: path, withIntermediateDirectories: false)
        for name in ["config.json", "diffusion_pytorch_model.safetensors"] {
          try files.copyItem(atPath: "\(repository)/unet/\(name)", toPath: "\(path)/\(name)")
        }
      }
      let networks = try sources(path, [.unet])
      let error = try error {
        _ = try ONNXExporter.export(networks, to: repository, options: linking())
      }
      #expect(error.code == .cannotCreate)
      #expect(error.hint?.mentions(.placement, "copy") == true)
      let reasons = [
        "symbolic link": "through a symbolic link", "relative": "through a symbolic link",
        "hard link": "other hard links",
        "two dots": "\"..\"",
      ]
      #expect(error.message.contains(try #require(reasons[kind])), "\(error.message)")
      #expect(!files.fileExists(atPath: "\(repository)/unet/model.onnx"))
    }
  }

  /// Names that look alike are different files: é as one character and as two.
  @Test func directoriesAreComparedByTheirBytes() throws {
    try withTemporaryFolder { folder in
      let (one, two) = (folder + "/caf\u{E9}", folder + "/cafe\u{301}")
      try FileManager.default.copyItem(atPath: Self.embedded, toPath: one)
      try FileManager.default.createDirectory(atPath: two, withIntermediateDirectories: false)
      let networks = try sources(one, [.unet])
      let error = try error {
        _ = try ONNXExporter.export(networks, to: two, options: linking())
      }
      #expect(error.code == .cannotCreate)
      // A directory whose name begins with an accent that combines with the slash.
      let odd = one + "/\u{301}weights"
      try FileManager.default.moveItem(atPath: one + "/unet", toPath: odd)
      let report = try ONNXExporter.export(sources(odd, [.unet]), to: one, options: linking())
      let initializer = try #require(
        try model(report.networks[0].modelPath).initializers.first { $0.name == "conv_in.weight" })
      guard case .external(let place) = initializer.contents else { throw Missing() }
      #expect(place.location == "\u{301}weights/diffusion_pytorch_model.safetensors")
    }
  }

  @Test func aFailureLeavesNothing() throws {
    try withTemporaryFolder { folder in
      var networks = try sources(Self.embedded, [.textEncoder, .unet])
      let unet = networks[1]
      networks[1] = NetworkSource(graph: unet.graph, configuration: nil) {
        parameter throws(FormatError) in
        if parameter.name == "conv_out.bias" { throw FormatError(.mismatch, "missing") }
        return try unet.tensor(parameter)
      }
      let error = try error { _ = try ONNXExporter.export(networks, to: "\(folder)/a/b") }
      #expect(error.code == .mismatch)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  /// In a process of its own, since it removes the unfinished files of the whole process.
  @Test func anInterruptionLeavesNoDirectory() async throws {
    let folder = FileManager.default.temporaryDirectory.path + "/sdloom-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    await #expect(processExitsWith: .exitCode(7)) { [folder = folder as String] in
      FileWriter.removeUnfinished()
      let files = OutputFiles(overwrite: false)
      for name in [GraphName.textEncoder, .unet] {
        try files.makeDirectory("\(folder)/onnx/\(name)")
        try files.file("\(folder)/onnx/\(name)/model.onnx").write([1])
      }
      withExtendedLifetime(files) {
        FileWriter.removeUnfinished()
        _exit(7)
      }
    }
    #expect(!FileManager.default.fileExists(atPath: folder))
  }

  @Test func anInterruptionAfterTheEndRemovesNothing() async throws {
    let folder = FileManager.default.temporaryDirectory.path + "/sdloom-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    await #expect(processExitsWith: .exitCode(7)) { [folder = folder as String] in
      FileWriter.removeUnfinished()
      let files = OutputFiles(overwrite: false)
      try files.makeDirectory("\(folder)/empty")
      try files.makeDirectory("\(folder)/unet")
      try files.file("\(folder)/unet/model.onnx").write([1])
      _ = try files.commit()
      FileWriter.removeUnfinished()
      _exit(7)
    }
    #expect(
      try FileManager.default.subpathsOfDirectory(atPath: folder).sorted() == [
        "empty", "unet", "unet/model.onnx",
      ])
  }

  /// A failure after directories were made and files begun.
  @Test func filesThatAreNotCommittedLeaveNoDirectory() throws {
    try withTemporaryFolder { folder in
      do {
        let files = OutputFiles(overwrite: false)
        try files.makeDirectory("\(folder)/a/b")
        try files.file("\(folder)/a/b/model.onnx").write([1])
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  /// Three networks; the disk has space for each, but not for all.
  @Test func roomForAllNetworksIsCheckedBeforeTheFirstIsCopied() throws {
    try withTemporaryFolder { folder in
      var status = statvfs()
      try #require(statvfs(folder, &status) == 0)
      let free = Int(status.f_bavail) * Int(status.f_frsize)
      let rows = free / 2 / 4096
      let networks = try ["one", "two", "three"].map { name in
        var builder = GraphBuilder(name: GraphName(rawValue: name))
        let x = builder.input("x", [1, 1024])
        let y = try builder.linear(x, Path(name: "wide"), to: rows, bias: false)
        builder.output("y", y)
        // Missing values: reading them would trap.
        return NetworkSource(graph: builder.graph, configuration: nil) { parameter in
          Tensor(
            name: "\(name).\(parameter.name)", dtype: .float32, shape: Shape(parameter.shape),
            storage: .memory([]))
        }
      }
      var progress = 0
      let error = try error {
        _ = try ONNXExporter.export(networks, to: "\(folder)/out") { _ in progress += 1 }
      }
      #expect(error.code == .inputOutput)
      #expect(error.message.contains("the output needs"))
      #expect(progress == 0)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  /// A LoRA changes the weight that it names, and no other.
  @Test(arguments: ExportOptions.Precision.allCases)
  func updatesAreAddedToCopies(precision: ExportOptions.Precision) throws {
    try withTemporaryFolder { folder in
      let name = "mid_block.attentions.0.transformer_blocks.0.attn2.to_v"
      let checkpoint = try ModelCheckpoint.open(Self.embedded)
      let unet = try checkpoint.require(.unet)
      let weight = try unet.tensor(named: name + ".weight")
      let (outputs, inputs) = (weight.shape[0], weight.shape[1])
      // Adds 3 * 2 * 0.5 to each value of the weight.
      func constant(_ value: Float, _ suffix: String, _ shape: Shape) -> Tensor {
        let bytes = (0..<(shape.elementCount ?? 0)).flatMap { _ in
          withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
        }
        return Tensor(
          name: "unet.\(name).\(suffix).weight", dtype: .float32, shape: shape,
          storage: .memory(bytes))
      }
      let path = "\(folder)/lora.safetensors"
      try Safetensors.write(
        [constant(2, "lora_A", [1, inputs]), constant(0.5, "lora_B", [outputs, 1])], to: path)
      let lora = try LoRA.open(path, scale: 3, for: checkpoint.components)
      let source = NetworkSource(
        graph: try unet.graph(.unet), configuration: nil,
        updates: { parameter in lora.updates[.unet]?[parameter.name].map { [$0] } ?? [] },
        tensor: { parameter throws(FormatError) in try unet.tensor(for: parameter) })
      var options = ExportOptions()
      options.precision = precision
      let out = "\(folder)/out"
      _ = try ONNXExporter.export([source], to: out, options: options)
      let data = [UInt8](try Data(contentsOf: URL(filePath: "\(out)/unet/model.onnx_data")))
      for initializer in try model("\(out)/unet/model.onnx").initializers {
        guard case .external(let place) = initializer.contents else { continue }
        let tensor = try #require(unet[initializer.name])
        let values: [Float] = data[place.offset..<(place.offset + place.length)].withUnsafeBytes {
          precision == .f16
            ? $0.bindMemory(to: Float16.self).map(Float.init) : Array($0.bindMemory(to: Float.self))
        }
        let expected = tensor.contiguousBytes().withUnsafeBytes { bytes in
          bytes.bindMemory(to: Float16.self).map { value in
            let sum = Float(value) + (initializer.name == name + ".weight" ? 3 : 0)
            return precision == .f16 ? Float(Float16(sum)) : sum
          }
        }
        #expect(values == expected, "\(initializer.name)")
      }

      options.weights = .link
      let error = try error {
        _ = try ONNXExporter.export([source], to: Self.embedded, options: options)
      }
      #expect(error.code == .unsupported && error.hint?.mentions(.placement, "copy") == true)
    }
  }

  /// The reader finds the nodes and weights, and data that ends early.
  @Test func exportsAreReadBack() throws {
    try withTemporaryFolder { folder in
      let networks = try sources(Self.embedded, [.vaeEncoder])
      let report = try ONNXExporter.export(networks, to: folder)
      let path = "\(folder)/vae_encoder/model.onnx"
      let file = try TensorFile.open(path)
      #expect(file.format == .onnx)
      let metadata = Dictionary(file.metadata.map { ($0.key, $0.value) }) { first, _ in first }
      #expect(metadata["nodes"] == String(report.networks[0].nodes))
      #expect(metadata["operator Conv"] == String(report.networks[0].operatorCounts["Conv"] ?? 0))
      #expect(try ModelCheckpoint.open(path).warnings == [])
      for parameter in networks[0].graph.parameters {
        let tensor = try networks[0].tensor(parameter)
        let read = try #require(file[tensor.name])
        let expected = tensor.contiguousBytes().withUnsafeBytes { bytes in
          bytes.bindMemory(to: Float16.self).map { Float($0) }
        }
        let found = read.contiguousBytes().withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        #expect(found == expected, "\(tensor.name)")
      }
      let data = try FileHandle(forUpdating: URL(filePath: path + "_data"))
      try data.truncate(atOffset: UInt64(report.networks[0].bytesCopied - 1))
      let last = try #require(model(path).initializers.last { $0.name.hasPrefix("quant_conv") })
      let error = try error { _ = try TensorFile.open(path) }
      #expect(error.context == last.name, "\(error)")
    }
  }

  @Test func theProducersVersionIsTheCallers() throws {
    var options = ExportOptions()
    options.producerVersion = "9.8.7"
    #expect(try Published.model(.vaeEncoder, options).producerVersion == "9.8.7")
  }

  @Test func whatExistsIsNotOverwrittenUnlessTold() throws {
    try withTemporaryFolder { folder in
      let networks = try sources(Self.embedded, [.vaeEncoder])
      let companion = CompanionFile(path: "tokenizer/merges.txt", contents: Array("a b".utf8))
      let first = try ONNXExporter.export(networks, companions: [companion], to: folder)
      #expect(first.paths.count == 6)
      let error = try error { _ = try ONNXExporter.export(networks, to: folder) }
      #expect(error.code == .cannotCreate)
      var options = ExportOptions()
      options.overwrite = true
      let second = try ONNXExporter.export(
        networks, companions: [companion], to: folder, options: options)
      // The configuration and the companion are there already.
      #expect(
        second.paths.map { URL(filePath: $0).lastPathComponent }.sorted() == [
          "model.onnx", "model.onnx_data",
        ])
    }
  }

  @Test func tensorsThatDoNotFitAreNamed() throws {
    let graph = try Published.graph(.vaeEncoder)
    // One of another size, one of the same size turned on its side.
    for isTransposed in [false, true] {
      let network = NetworkSource(graph: graph, configuration: nil) {
        parameter throws(FormatError) in
        let shape: Shape = isTransposed ? Shape(parameter.shape.reversed()) : [1]
        return Tensor(
          name: parameter.name, dtype: .float32, shape: shape,
          storage: .memory([UInt8](repeating: 0, count: 4 * (shape.elementCount ?? 0))))
      }
      try withTemporaryFolder { folder in
        let error = try error { _ = try ONNXExporter.export([network], to: folder) }
        #expect(error.code == .mismatch)
        #expect(error.context == "encoder.conv_in.weight")
      }
    }
  }
}
