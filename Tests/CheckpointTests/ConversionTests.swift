import Checkpoint
import Crypto
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// Conversion plans and what they write.
@Suite struct ConversionTests {
  static let model = Fixtures.path("shapes-v2")
  /// Targets that keep a file's contents under their own names.
  static let containers: [Conversion.Target] = [.sdflat, .safetensors]
  /// Targets that accept any single component, and preserve its names.
  static let published: [Conversion.Target] = [.sdflat, .safetensors, .diffusers]

  static func convert(
    _ source: String, to target: Conversion.Target, at path: String,
    _ options: Conversion.Options = .init()
  ) throws {
    try Conversion(
      of: ModelCheckpoint.open(source), to: target, at: path, options: options
    ).execute()
  }

  /// Name, type and SHA-256 of every tensor of a component.
  static func digests(_ component: Component) -> [String: String] {
    let digests = component.tensors.map { TensorDigest.sha256(of: $0) }
    return Dictionary(
      uniqueKeysWithValues: zip(component.tensors, digests).map { tensor, digest in
        (tensor.name, "\(tensor.dtype.rawValue) \(tensor.shape) \(digest)")
      })
  }

  static func expectEqual(_ left: ModelCheckpoint, _ right: ModelCheckpoint) {
    #expect(left.components.map(\.name) == right.components.map(\.name))
    for (left, right) in zip(left.components, right.components) {
      #expect(digests(left) == digests(right))
    }
    #expect(
      Dictionary(uniqueKeysWithValues: left.files.map { ($0.path, $0.bytes) })
        == Dictionary(uniqueKeysWithValues: right.files.map { ($0.path, $0.bytes) }))
  }

  @Test func makesARepositoryOfEachLayout() throws {
    let scratch = try Scratch()
    let source = try ModelCheckpoint.open(ConversionTests.model)
    try ConversionTests.convert(ConversionTests.model, to: .sdflat, at: scratch.path("flat"))
    for (index, input) in [ConversionTests.model, scratch.path("flat")].enumerated() {
      let path = scratch.path("repository\(index)")
      // With or without a slash at its end, as shells complete it.
      try ConversionTests.convert(input, to: .safetensors, at: index == 0 ? path + "/" : path)
      let repository = try ModelCheckpoint.open(path)
      #expect(repository.layout == .repository)
      #expect(repository.components.map(\.format) == [.safetensors, .safetensors, .safetensors])
      #expect(
        repository.components.map { String($0.path.dropFirst(path.count + 1)) } == [
          "text_encoder/model.safetensors", "unet/diffusion_pytorch_model.safetensors",
          "vae/diffusion_pytorch_model.safetensors",
        ])
      ConversionTests.expectEqual(source, repository)
      let metadata = try #require(repository[.unet]).metadata
      #expect(metadata.contains { $0.key == "format" && $0.value == "pt" })
    }
    #expect(try scratch.names == ["flat", "repository0", "repository1"])
  }

  @Test func takesOneComponent() throws {
    let scratch = try Scratch()
    var options = Conversion.Options()
    options.components = [.textEncoder]
    let source = try ModelCheckpoint.open(ConversionTests.model)
    try ConversionTests.convert(
      ConversionTests.model, to: .safetensors, at: scratch.path("text"), options)
    let file = try ModelCheckpoint.open(scratch.path("text"))
    #expect(file.layout == .file(.safetensors))
    #expect(
      ConversionTests.digests(file.components[0])
        == ConversionTests.digests(try #require(source[.textEncoder])))

    try ConversionTests.convert(
      ConversionTests.model, to: .sdflat, at: scratch.path("flat"), options)
    let flat = try ModelCheckpoint.open(scratch.path("flat"))
    #expect(flat.components.map(\.name) == [.textEncoder])
    #expect(flat.files.map(\.path) == ["text_encoder/config.json"])
    try flat.components[0].requireComplete()

    options.components = [ComponentName(rawValue: "safety_checker")]
    let error = try failure {
      try ConversionTests.convert(
        ConversionTests.model, to: .sdflat, at: scratch.path("none"), options)
    }
    #expect(error?.code == .mismatch)
    #expect(error?.hint?.contains("text_encoder, unet, vae") == true)
  }

  @Test func keepsASingleFileSingle() throws {
    let scratch = try Scratch()
    let tensors: [Tensor] = [
      .floats("model.diffusion_model.out.0.weight", [1, 2]), .floats("betas", [3]),
      .floats("first_stage_model.quant_conv.bias", [4]),
    ]
    try Safetensors.write(
      tensors, metadata: [(key: "a", value: "b")], to: scratch.path("in"))
    try ConversionTests.convert(scratch.path("in"), to: .safetensors, at: scratch.path("out"))
    let file = try TensorFile.open(scratch.path("out"))
    #expect(Set(file.tensors.map(\.name)) == Set(tensors.map(\.name)))
    for tensor in tensors {
      #expect(file[tensor.name]?.contiguousBytes() == tensor.contiguousBytes())
    }
    #expect(file.metadata.map(\.key) == ["format", "a"])

    try ConversionTests.convert(
      scratch.path("in"), to: .safetensors, at: scratch.path("half"), .init(dtype: .float16))
    let half = try TensorFile.open(scratch.path("half"))
    #expect(tensors.map { half[$0.name]?.dtype } == [.float16, .float32, .float16])
  }

  // MARK: Casts

  /// `torch.load(...)[name].float()`, and back through torch's `bfloat16`: SHA-256 of the values of
  /// text_model.embeddings.position_embedding.weight.
  @Test(arguments: [
    (DType.float32, "26b16ffb3bcef99d4ec411a79781851462e0ed6574c62faffff14d5a25b14fa3"),
    (.bfloat16, "c0fd9856c75e50ed405e0d5d1b279afd48233d46e288abe3efad678a7ac48d99"),
    (.float16, "1e3e0fa3169eb5fc2fc6041eef24ba29f119d25368a847a69d795446b6f360fa"),
  ])
  func castsAsTorchDoes(dtype: DType, digest: String) throws {
    let scratch = try Scratch()
    var options = Conversion.Options(dtype: dtype)
    options.components = [.textEncoder]
    for target in ConversionTests.published {
      let path = scratch.path("out.\(target)")
      try ConversionTests.convert(ConversionTests.model, to: target, at: path, options)
      let component = try ModelCheckpoint.open(path).components[0]
      let name = "text_model.embeddings.position_embedding.weight"
      #expect(TensorDigest.sha256(of: try #require(component[name])) == digest)
      let ids = try #require(component["text_model.embeddings.position_ids"])
      #expect(ids.dtype == .int64)
      #expect(ids.contiguousBytes() == bytes((0..<77).map { Int64($0) }))
      #expect(component.tensors.allSatisfy { $0.dtype == dtype || $0.dtype == .int64 })
    }
  }

  @Test func stopsAtAnOverflowAndLeavesNothing() throws {
    let scratch = try Scratch()
    try Safetensors.write(
      [.floats("a", [1]), .floats("b", [1, 70_000]), .floats("c", [1e6, -2e5])],
      to: scratch.path("in"))
    for target in ConversionTests.containers {
      let error = try #require(
        try failure {
          try ConversionTests.convert(
            scratch.path("in"), to: target, at: scratch.path("out"), .init(dtype: .float16))
        })
      #expect(error.code == .mismatch)
      #expect(error.context == "b")
      // All are counted and named, not only the first.
      #expect(error.message.hasPrefix("3 values are beyond 65504"))
      #expect(error.message.hasSuffix("1 of b, 2 of c"))
      #expect(try scratch.names == ["in"])
      try ConversionTests.convert(
        scratch.path("in"), to: target, at: scratch.path("out"),
        .init(dtype: .float16, saturate: true))
      let component = try ModelCheckpoint.open(scratch.path("out")).components[0]
      #expect(component["b"]?.contiguousBytes() == bytes([0x3C00, 0x7BFF] as [UInt16]))
      try scratch.remove("out")
    }
  }

  @Test func saysWhatItDoesNotCast() throws {
    let scratch = try Scratch()
    try Safetensors.write(
      [.zeros("a", .complex64, [2]), .floats("b", [1])], to: scratch.path("in"))
    let source = try ModelCheckpoint.open(scratch.path("in"))
    let plan = try Conversion(
      of: source, to: .sdflat, at: scratch.path("out"), options: .init(dtype: .float16))
    #expect(plan.notes == ["model: a stays C64, a type that is not cast"])
    #expect(plan.parts[0].tensors.map(\.dtype) == [.complex64, .float16])
    #expect(plan.byteCount == 18)
    let error = try failure {
      _ = try Conversion(of: source, to: .sdflat, at: "x", options: .init(dtype: .int8))
    }
    #expect(error?.code == .unsupported)
  }

  // MARK: Safety

  @Test(arguments: containers)
  func replacesOnlyWhenTold(target: Conversion.Target) throws {
    let scratch = try Scratch()
    try scratch.write("precious", as: "out")
    let source = "\(ConversionTests.model)/vae"
    let error = try failure {
      try ConversionTests.convert(source, to: target, at: scratch.path("out"))
    }
    #expect(error?.code == .cannotCreate)
    #expect(try scratch.contents("out") == Array("precious".utf8))
    try ConversionTests.convert(
      source, to: target, at: scratch.path("out"), .init(overwrite: true))
    #expect(try ModelCheckpoint.open(scratch.path("out")).components.map(\.name) == [.vae])
    #expect(try scratch.names == ["out"])
  }

  @Test func replacesARepositoryOnlyWhenTold() throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    let error = try failure {
      try ConversionTests.convert(ConversionTests.model, to: .safetensors, at: model)
    }
    #expect(error?.code == .cannotCreate)
    // Converting a file onto itself: the source stays readable until the output is complete.
    try ConversionTests.convert(model, to: .safetensors, at: model, .init(overwrite: true))
    #expect(try scratch.names == ["model"])
    ConversionTests.expectEqual(
      try ModelCheckpoint.open(ConversionTests.model), try ModelCheckpoint.open(model))
    // The links' targets are untouched.
    #expect(FileManager.default.fileExists(atPath: "\(ConversionTests.model)/unet/config.json"))

    try scratch.write("mine", as: "folder/thesis.txt")
    let refusal = try failure {
      try ConversionTests.convert(
        model, to: .safetensors, at: scratch.path("folder"), .init(overwrite: true))
    }
    #expect(refusal?.code == .cannotCreate)
    #expect(try scratch.contents("folder/thesis.txt") == Array("mine".utf8))
    #expect(try scratch.names == ["folder", "model"])
  }

  @Test func convertsAFlatFileOntoItself() throws {
    let scratch = try Scratch()
    try ConversionTests.convert("\(ConversionTests.model)/vae", to: .sdflat, at: scratch.path("a"))
    let before = ConversionTests.digests(try ModelCheckpoint.open(scratch.path("a")).components[0])
    try ConversionTests.convert(
      scratch.path("a"), to: .sdflat, at: scratch.path("a"), .init(overwrite: true))
    let after = try ModelCheckpoint.open(scratch.path("a"))
    #expect(ConversionTests.digests(after.components[0]) == before)
    // The first conversion's record is kept inside the second's.
    #expect(
      after.provenance?["previous"]?["sources"]?.array?.first?["path"]
        == "diffusion_pytorch_model.safetensors")
    #expect(after.provenance?["sources"]?.array?.first?["path"] == "a")
  }

  /// An interrupt handler during a conversion leaves no files. In its own process, since it affects
  /// all writers of a process.
  @Test(arguments: Conversion.Target.allCases)
  func isRemovedWhenInterrupted(target: Conversion.Target) async throws {
    let scratch = try Scratch()
    let folder = scratch.path
    let name = target.rawValue
    await #expect(processExitsWith: .exitCode(7)) {
      [folder = folder as String, name = name as String] in
      let source = try ModelCheckpoint.open(ConversionTests.model)
      let target = try #require(Conversion.Target(rawValue: name))
      try Conversion(of: source, to: target, at: folder + "/out").execute { progress in
        guard progress.component == .vae else { return }
        let names = try? FileManager.default.contentsOfDirectory(atPath: folder)
        FileWriter.removeUnfinished()
        // A directory has a hidden name by now; a file has none, or a hidden one.
        exit(names?.count == 1 || target != .diffusers && names?.count == 0 ? 7 : 1)
      }
    }
    #expect(try scratch.names == [])
  }

  /// If no thread can start, a failed conversion still closes its source, which an unstarted check
  /// had kept open. In its own process, since limits are per process.
  @Test func letsGoOfItsSourceWithoutThreads() async throws {
    let scratch = try Scratch()
    let folder = scratch.path
    await #expect(processExitsWith: .exitCode(7)) { [folder = folder as String] in
      let path = folder + "/a.safetensors"
      try Safetensors.write([.floats("a", [1, 2])], to: path)
      // Opened before the process drops its privileges; one read returns at most a page.
      let maps = try #require(FileHandle(forReadingAtPath: "/proc/self/maps"))
      func isMapped() throws -> Bool {
        try maps.seek(toOffset: 0)
        var text = Data()
        while let piece = try maps.read(upToCount: 1 << 16), !piece.isEmpty { text += piece }
        return text.firstRange(of: Data("/a.safetensors".utf8)) != nil
      }
      func convert() throws -> Bool {
        let source = try ModelCheckpoint.open(path)
        let conversion = try Conversion(of: source, to: .sdflat, at: folder + "/out")
        try Data([1]).write(to: URL(filePath: folder + "/out"))
        var limit = rlimit(rlim_cur: 1, rlim_max: 1)
        // The superuser has no such limit.
        guard try isMapped(), setrlimit(__rlimit_resource_t(__RLIMIT_NPROC.rawValue), &limit) == 0,
          getuid() != 0 || setuid(65531) == 0
        else { return false }
        do {
          try conversion.execute()
          return false
        } catch {
          return error.code == .cannotCreate
        }
      }
      exit(try convert() && !isMapped() ? 7 : 1)
    }
  }

  /// File systems that cannot exchange two directories: the old one is renamed, and restored if the
  /// new one cannot take its place.
  @Test func replacesWithoutAnExchange() throws {
    let scratch = try Scratch()
    let path = scratch.path("out")
    func prepare() throws -> DirectoryWriter {
      try scratch.write("{}", as: "out/model_index.json")
      let writer = try DirectoryWriter(
        path: path, overwrite: true, entries: ["model_index.json"], byteCount: 2)
      try Data("[]".utf8).write(to: URL(filePath: try writer.place(for: "model_index.json")))
      return writer
    }
    try prepare().commit { _, _ in false }
    #expect(try scratch.contents("out/model_index.json") == Array("[]".utf8))
    #expect(try scratch.names == ["out"])
    let error = try failure {
      try prepare().commit { new, _ in
        _ = try? FileManager.default.removeItem(atPath: new)
        return false
      }
    }
    #expect(error?.code == .cannotCreate)
    #expect(try scratch.contents("out/model_index.json") == Array("{}".utf8))
    #expect(try scratch.names == ["out"])
  }

  /// A killed process's leftovers are removed by the next run, except files that another process
  /// has locked.
  @Test func removesWhatAKilledProcessLeft() throws {
    let scratch = try Scratch()
    try scratch.write("half", as: ".out.999999999-0.partial/unet/config.json")
    try scratch.write("other", as: ".other.999999999-0.partial/a")
    try scratch.write("theirs", as: ".out.999999998-77.partial/a")
    let descriptor = open(scratch.path(".out.999999998-77.partial"), O_RDONLY)
    defer { close(descriptor) }
    #expect(flock(descriptor, LOCK_EX | LOCK_NB) == 0)
    try ConversionTests.convert(
      ConversionTests.model, to: .diffusers, at: scratch.path("out"))
    #expect(
      try scratch.names
        == [".other.999999999-0.partial", ".out.999999998-77.partial", "out"])
  }

  @Test func refusesIncompleteNetworks() throws {
    let scratch = try Scratch()
    let model = try scratch.repository { tensors in
      tensors.filter { $0.name != "decoder.conv_in.bias" }
    }
    let error = try failure {
      try ConversionTests.convert(model, to: .sdflat, at: scratch.path("out"))
    }
    #expect(error?.code == .mismatch)
    #expect(error?.message.contains("decoder.conv_in.bias") == true)
    #expect(try scratch.names == ["model"])
  }

  @Test func refusesAPlaceThatIsNotThere() throws {
    for target in Conversion.Target.allCases {
      for source in [ConversionTests.model, "\(ConversionTests.model)/vae"] {
        let error = try failure {
          try ConversionTests.convert(source, to: target, at: "/nowhere/at/all")
        }
        #expect(error?.code == .cannotCreate)
        #expect(error?.file == "/nowhere/at/all")
      }
    }
  }

  /// An error while a directory is written names the destination, not the hidden directory.
  @Test func errorsNameThePlaceOfTheOutput() throws {
    let scratch = try Scratch()
    let model = try scratch.repository { tensors in
      tensors.map {
        $0.name == "decoder.conv_in.bias"
          ? .floats($0.name, [Float](repeating: 1e6, count: 64)) : $0
      }
    }
    let error = try #require(
      try failure {
        try ConversionTests.convert(
          model, to: .diffusers, at: scratch.path("out"), .init(dtype: .float16))
      })
    #expect(error.message.hasPrefix("64 values are beyond 65504"))
    #expect(error.file?.contains("partial") == false)
    #expect(try scratch.names == ["model"])
  }

  // MARK: Plans

  @Test func printsThePlan() throws {
    let scratch = try Scratch()
    let plan = try Conversion(
      of: ModelCheckpoint.open(ConversionTests.model), to: .sdflat, at: scratch.path("out"),
      options: .init(dtype: .bfloat16))
    // After the total: files that nothing reads, and a VAE in another format.
    #expect(plan.lines().count == 1 + 3 + 9 + 1 + 1 + 1)
    #expect(
      plan.lines().last
        == "not read: 1 file of weights next to these: vae/diffusion_pytorch_model.bin")
    #expect(
      plan.lines()[1] == "text_encoder: 69 tensors, 6734824 bytes (68 F16 -> BF16, 1 I64)")
    #expect(plan.json["bytes"]?.int == plan.byteCount)
    let step = plan.json["components"]?.array?[1]["tensors"]?.array?.first
    #expect(step?["from"] == "F16")
    #expect(step?["to"] == "BF16")
    #expect(try scratch.names == [])
  }

  @Test func tellsHowFarItIs() throws {
    let scratch = try Scratch()
    let plan = try Conversion(
      of: ModelCheckpoint.open("\(ConversionTests.model)/vae"), to: .sdflat,
      at: scratch.path("out"), options: .init(dtype: .float32))
    var reports: [Conversion.Progress] = []
    try plan.execute { reports.append($0) }
    #expect(reports.map(\.bytesDone) == reports.map(\.bytesDone).sorted())
    #expect(reports.last?.bytesDone == plan.byteCount)
    #expect(reports.allSatisfy { $0.bytesTotal == 4 * 1_028_935 })
    #expect(reports.allSatisfy { $0.component == .vae })
    #expect(Set(reports.map(\.tensor)).count == plan.parts[0].tensors.count)
  }

  /// `sha256sum` of the file, and of nothing.
  @Test func hashesFiles() throws {
    let scratch = try Scratch()
    let empty = try scratch.write("", as: "empty")
    #expect(
      try TensorDigest.sha256(ofFile: empty)
        == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    #expect(
      try TensorDigest.sha256(ofFile: Fixtures.path("shapes-v2/tokenizer/merges.txt"))
        == "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a")
  }
}
