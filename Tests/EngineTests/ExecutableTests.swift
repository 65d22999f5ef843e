import CKernels
import Checkpoint
import Engine
import ModelFormats
import ModelGraph
import TestSupport
import Testing

extension EngineTests {
  /// How an executable behaves beyond one run: sizes, threads, what it keeps, and its errors.
  struct ExecutableTests {
    static let sizes = Sizes(batch: 2, height: 16, width: 16, sequence: 77)

    static func unet(
      options: EngineOptions = EngineOptions(), sizes: Sizes = sizes
    ) throws -> Executable {
      try GoldenTests.executable(.unet, .unet, sizes: sizes, options: options)
    }

    static func inputs(timestep: Float = 500) throws -> [String: Value] {
      let golden = try Golden("unet")
      return try [
        "sample": golden.value("sample"), "timestep": Value([timestep], shape: [1]),
        "encoder_hidden_states": golden.value("encoder_hidden_states"),
      ]
    }

    @Test func oddSizes() throws {
      let golden = try Golden(path: Fixtures.path("engine/odd-sizes.safetensors"))
      let unet = try Self.unet()
      let first = try unet.run(Self.inputs())
      let output = try unet.run([
        "sample": golden.value("sample"), "encoder_hidden_states": golden.value("states"),
        "timestep": Value([700], shape: [1]),
      ])["out_sample"]
      try #expect(relativeError(output, golden.value("out_700")) < 1e-5)
      // The first plan still works.
      try #expect(unet.run(Self.inputs()) == first)

      let sizes = Sizes(batch: 1, height: 16, width: 16)
      let decoder = try GoldenTests.executable(.vae, .vaeDecoder, sizes: sizes)
      let image = try decoder.run(["latent_sample": golden.value("latent")])["sample"]
      try #expect(relativeError(image, golden.value("image")) < 1e-5)
      let encoder = try GoldenTests.executable(.vae, .vaeEncoder, sizes: sizes)
      let moments = try encoder.run(["sample": golden.value("picture")])["latent_parameters"]
      try #expect(relativeError(moments, golden.value("moments")) < 1e-5)
    }

    @Test func theSameEveryTime() throws {
      let unet = try Self.unet()
      let inputs = try Self.inputs()
      let first = try unet.run(inputs)
      for _ in 0..<3 { try #expect(unet.run(inputs) == first) }
      let alone = try Self.unet(options: EngineOptions(threads: 1)).run(inputs)["out_sample"]
      let together = try #require(first["out_sample"])
      #expect(relativeError(alone, together) < 1e-6)
    }

    @Test func keepsWhatDependsOnConstantInputs() throws {
      let unet = try Self.unet()
      let first = try Self.inputs()
      var second = first
      second["encoder_hidden_states"] = try #require(first["encoder_hidden_states"]).negated
      let ofFirst = try unet.run(first)
      let ofSecond = try unet.run(second)
      #expect(ofFirst != ofSecond)

      let name = "encoder_hidden_states"
      #expect(try unet.run(first, inputVersions: [name: 1]) == ofFirst)
      // A prompt declared unchanged is not read.
      var steps: [StepTiming] = []
      #expect(try unet.run(second, inputVersions: [name: 1]) { steps.append($0) } == ofFirst)
      #expect(!steps.contains { $0.name.hasSuffix("attn2.to_k") })
      #expect(steps.contains { $0.name.hasSuffix("attn2.to_q") })
      #expect(try unet.run(second, inputVersions: [name: 2]) == ofSecond)
      #expect(try unet.run(first) == ofFirst)
      // Nothing is reused from a failed run.
      #expect(try unet.run(second, inputVersions: [name: 3]) == ofSecond)
      var broken = first
      broken["timestep"] = Value([1, 2], shape: [2])
      #expect(throws: EngineError.self) { try unet.run(broken, inputVersions: [name: 4]) }
      #expect(try unet.run(first, inputVersions: [name: 3]) == ofFirst)
    }

    @Test func fusesWhatCanBeFused() throws {
      var counts: [String: Int] = [:]
      _ = try Self.unet().run(Self.inputs()) { counts[$0.kind, default: 0] += 1 }
      // The time embedding is fused into group norms; tokens and images share their bytes.
      for kind in ["add_per_channel", "image_to_tokens", "tokens_to_image"] {
        #expect(counts[kind] == nil)
      }
      // Ten transformers add four times, fourteen residual blocks once.
      #expect(try Self.unet().graph.nodes.count { $0.operation == .add } == 54)
      // Remaining are additions to images that skip connections need: the inputs of the first
      // residual blocks of down_blocks.0, down_blocks.3 and mid_block, which have no shortcut.
      #expect(counts["add"] == 3)
    }

    /// A residual that is kept between runs must not be accumulated into, whichever input is
    /// constant.
    @Test(arguments: [[], ["still"], ["moving"], ["still", "moving"]])
    func residualsOfConstantLayers(constant: [String]) throws {
      var builder = GraphBuilder(name: GraphName(rawValue: "two"), component: "test")
      let still = builder.input("still", [3, 5, 4])
      let moving = builder.input("moving", [3, 5, 4])
      let shortcut = try builder.linear(
        still, Path(name: "shortcut", singleFile: "shortcut"), to: 6)
      let computed = try builder.linear(
        moving, Path(name: "computed", singleFile: "computed"), to: 6)
      builder.output("sum", try builder.add("sum", shortcut, computed))
      let graph = builder.graph

      var random = SplitMix(seed: 11)
      var weights: [String: [Float]] = [:]
      for parameter in graph.parameters {
        weights[parameter.name] = random.normals(parameter.elementCount)
      }
      let shapes = Dictionary(uniqueKeysWithValues: graph.parameters.map { ($0.name, $0.shape) })
      let executable = try Executable(
        graph: graph,
        parameters: { name in
          let values = try #require(weights[name])
          return Tensor(
            name: name, dtype: .float32, shape: Shape(try #require(shapes[name])),
            storage: .memory(values.withUnsafeBytes { [UInt8]($0) }))
        }, options: EngineOptions(constantInputs: Set(constant)))

      func linear(_ x: [Float], _ name: String) throws -> [Double] {
        let weight = try #require(weights["\(name).weight"])
        let bias = try #require(weights["\(name).bias"])
        return (0..<15 * 6).map { index in
          (0..<4).reduce(Double(bias[index % 6])) {
            $0 + Double(x[index / 6 * 4 + $1]) * Double(weight[index % 6 * 4 + $1])
          }
        }
      }
      // Later runs start with the arena as earlier runs left it, and unchanged constant values.
      var held: [String: [Float]] = [:]
      for run in 0..<4 {
        for name in ["still", "moving"] where run == 0 || !constant.contains(name) {
          held[name] = random.normals(60)
        }
        let inputs = held.mapValues { Value($0, shape: [3, 5, 4]) }
        let inputVersions = Dictionary(uniqueKeysWithValues: constant.map { ($0, 1) })
        let sum = try #require(executable.run(inputs, inputVersions: inputVersions)["sum"])
        let expected = zip(
          try linear(#require(held["still"]), "shortcut"),
          try linear(#require(held["moving"]), "computed")
        ).map { $0 + $1 }
        #expect(relativeError(sum.reals, expected) < 1e-6, "run \(run)")
      }
    }

    @Test func memoryIsShared() throws {
      let small = try Self.unet()
      let values = small.graph.nodes.reduce(0) { sum, node in
        sum + 4 * small.graph[node.output].shape.reduce(1) { $0 * $1.value(Self.sizes) }
      }
      let weights = small.graph.parameters.reduce(0) { $0 + 4 * $1.elementCount }
      #expect(small.memoryBytes - small.workingMemoryBytes >= weights)
      #expect(small.workingMemoryBytes < values / 4 + (12 << 20))
    }

    // MARK: Errors

    @Test func badInputs() throws {
      let unet = try Self.unet()
      let good = try Self.inputs()
      func error(_ name: String, _ value: Value?) -> EngineError? {
        var inputs = good
        inputs[name] = value
        return #expect(throws: EngineError.self) { try unet.run(inputs) }
      }
      #expect(error("sample", nil)?.message == "the input is missing")
      let channels = error(
        "sample", Value([Float](repeating: 0, count: 768), shape: [1, 3, 16, 16]))
      #expect(channels?.code == .input)
      #expect(channels?.context == "unet: sample")
      let integers = error("timestep", Value(ids: [5], shape: [1]))
      #expect(integers?.message == "the input must be numbers")
      // Two samples, but one prompt.
      let prompt = try #require(good["encoder_hidden_states"])
      #expect(error("encoder_hidden_states", prompt.sample(0))?.code == .input)
      // And after all that it still works.
      #expect(try unet.run(good).count == 1)
    }

    @Test func badTokens() throws {
      let text = try GoldenTests.executable(
        .textEncoder, .textEncoder, sizes: Sizes(batch: 1, sequence: 8))
      let last = Value(ids: [0, 1, 2, 3, 4, 5, 6, 49407], shape: [1, 8])
      #expect(try text.run(["input_ids": last])["last_hidden_state"]?.shape == [1, 8, 64])
      for id: Int32 in [49408, -1] {
        let error = #expect(throws: EngineError.self) {
          try text.run(["input_ids": Value(ids: [0, id], shape: [1, 2])])
        }
        #expect(error?.message.contains("token id \(id)") == true)
      }
      let long = Value(ids: [Int32](repeating: 7, count: 78), shape: [1, 78])
      let error = #expect(throws: EngineError.self) { try text.run(["input_ids": long]) }
      #expect(error?.message.contains("78 tokens") == true)
    }

    @Test func badParameters() throws {
      let component = try GoldenTests.model.get().require(.vae)
      let graph = try component.graph(.vaeDecoder)
      func error(_ tensor: Tensor) -> EngineError? {
        #expect(throws: EngineError.self) {
          try Executable(
            graph: graph,
            parameters: { name in
              name == "decoder.conv_in.weight" ? tensor : try component.tensor(named: name)
            }, sizes: Sizes(batch: 1, height: 8, width: 8))
        }
      }
      let small = Tensor(
        name: "a", dtype: .float32, shape: [2], storage: .memory([UInt8](repeating: 0, count: 8)))
      #expect(error(small)?.context == "vae_decoder: decoder.conv_in.weight")
      #expect(error(small)?.code == .parameter)
      // The same number of values, but a transposed matrix.
      let shape = graph.parameters.first { $0.name == "decoder.conv_in.weight" }?.shape ?? []
      let turned = Tensor(
        name: "a", dtype: .float32, shape: Shape(shape.reversed()),
        storage: .memory([UInt8](repeating: 0, count: 4 * shape.reduce(1, *))))
      #expect(shape.reversed() != shape)
      #expect(error(turned)?.code == .parameter)
      #expect(error(turned)?.message.contains("the tensor's shape is") == true)
      let integers = Tensor(
        name: "a", dtype: .int8, shape: Shape(shape),
        storage: .memory([UInt8](repeating: 0, count: shape.reduce(1, *))))
      #expect(error(integers)?.message.contains("I8") == true)
    }
  }

  struct MemoryPlanTests {
    @Test func neverSharesWhatIsNeededAtOnce() {
      var random = SplitMix(seed: 9)
      for _ in 0..<50 {
        let lifetimes = (0..<60).map { _ in
          let first = random.below(100)
          return MemoryPlan.Lifetime(
            byteCount: 1 + random.below(5000), first: first, last: first + random.below(20))
        }
        let plan = MemoryPlan(lifetimes)
        let ends = zip(plan.offsets, lifetimes).map { $0 + $1.byteCount }
        #expect(plan.offsets.allSatisfy { $0 % 64 == 0 })
        #expect(ends.allSatisfy { $0 <= plan.byteCount })
        for a in lifetimes.indices {
          for b in lifetimes.indices where a < b && areNeededAtOnce(lifetimes[a], lifetimes[b]) {
            let apart = ends[a] <= plan.offsets[b] || ends[b] <= plan.offsets[a]
            #expect(apart)
          }
        }
        var peak = 0
        for time in 0..<120 {
          let alive = lifetimes.filter { $0.first <= time && time <= $0.last }
          peak = max(peak, alive.reduce(0) { $0 + ($1.byteCount + 63) / 64 * 64 })
        }
        #expect(plan.byteCount >= peak)
        // Best fit leaves gaps, but not many.
        #expect(plan.byteCount <= peak * 3 / 2)
      }
    }

    private func areNeededAtOnce(_ a: MemoryPlan.Lifetime, _ b: MemoryPlan.Lifetime) -> Bool {
      a.first <= b.last && b.first <= a.last
    }
  }
}

extension Value {
  fileprivate var negated: Value { Value(reals.map { -$0 }, shape: shape) }
}
