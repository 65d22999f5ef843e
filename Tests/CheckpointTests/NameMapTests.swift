import Checkpoint
import ModelFormats
import ModelGraph
import OrderedJSON
import Testing

/// The map between the namings of a network's parameters.
@Suite struct NameMapTests {
  /// A name identifies its parameter in any naming; a parameter has one name in each.
  @Test(arguments: SpelledNetwork.all)
  func namesAreABijection(network: SpelledNetwork) throws {
    let parameters = try network.parameters()
    #expect(parameters.count > 30)
    var owners: [String: String] = [:]
    for naming in network.architecture.namings {
      #expect(Set(parameters.map(naming.name)).count == parameters.count, "\(naming)")
      for parameter in parameters {
        let name = naming.name(of: parameter)
        let owner = owners.updateValue(parameter.name, forKey: name)
        #expect(owner == nil || owner == parameter.name, "\(name) is doubly mapped")
      }
    }
  }

  @Test(arguments: SpelledNetwork.all.filter { $0.architecture == .unet })
  func averagesAreABijection(network: SpelledNetwork) throws {
    let parameters = try network.parameters()
    #expect(Set(parameters.map(NetworkDescriptor.average.name)).count == parameters.count)
  }

  /// A file in any naming has every parameter, each under its published name, and nothing else.
  @Test(arguments: SpelledNetwork.all, ["", "state_dict.", "state_dict.state_dict."])
  func everyTensorIsMapped(network: SpelledNetwork, wrapper: String) throws {
    let parameters = try network.parameters()
    var namings = network.architecture.namings
    if network.architecture == .unet { namings.append(NetworkDescriptor.average) }
    for naming in namings {
      let tensors = try network.tensors(naming, wrapper: wrapper).shuffled()
      let component = Component(
        name: naming.family == .average ? .unetEMA : network.architecture.component,
        architecture: network.architecture.className,
        configuration: Configuration(object: network.configuration, path: "config.json"),
        path: "weights", format: .safetensors, tensors: tensors)
      #expect(component.manifest?.problems == [], "\(naming)")
      let published = tensors.map(component.publishedName)
      #expect(Set(published) == Set(parameters.map(\.name)), "\(naming)")
      for parameter in parameters {
        let name = wrapper + naming.name(of: parameter)
        #expect(component[name].map(component.publishedName) == parameter.name)
      }
    }
  }

  /// Absent tensors are missing, extra ones unexpected, by name.
  @Test(arguments: SpelledNetwork.all)
  func nothingIsInvented(network: SpelledNetwork) throws {
    for naming in network.architecture.namings {
      var tensors = try network.tensors(naming)
      let lost = tensors.removeFirst()
      let extra = Tensor(
        name: naming.prefix + "more.weight", dtype: .float32, shape: [1], storage: .memory([]))
      let component = Component(
        name: network.architecture.component, architecture: network.architecture.className,
        configuration: Configuration(object: network.configuration, path: "config.json"),
        path: "weights", format: .safetensors, tensors: tensors + [extra])
      let manifest = try #require(component.manifest)
      #expect(manifest.missing.map(naming.name) == [lost.name])
      #expect(manifest.unexpected.map(\.name) == [extra.name])
      #expect(component.publishedName(of: extra) == extra.name)
    }
  }

  @Test(arguments: [
    (
      "model.diffusion_model.input_blocks.0.0.weight",
      "model_ema.diffusion_modelinput_blocks00weight"
    ),
    ("model.diffusion_model.out.2.bias", "model_ema.diffusion_modelout2bias"),
  ])
  func averagesAreNamedAsLitEmaNamesThem(single: String, average: String) throws {
    let unet = try #require(SpelledNetwork.all.first { $0.architecture == .unet })
    let parameter = try #require(
      try unet.parameters().first { $0.singleFileName == single })
    #expect(NetworkDescriptor.average.name(of: parameter) == average)
  }
}

/// Configurations inferred from the shapes of tensors.
@Suite struct InferenceTests {
  /// In every naming the shapes yield a network with the same parameters.
  @Test(arguments: SpelledNetwork.all)
  func shapesGiveTheNetwork(network: SpelledNetwork) throws {
    let expected = try network.graphs()
    for naming in network.architecture.namings {
      let inferred = try #require(
        ConfigurationInference.configuration(
          of: network.architecture, try network.tensors(naming), path: "weights"), "\(naming)")
      #expect(inferred.origin == .inferred)
      let component = Component(
        name: network.architecture.component, architecture: inferred.architecture,
        configuration: inferred, path: "weights", format: .safetensors, tensors: [])
      #expect(component.graphs.map(\.parameters) == expected.map(\.parameters), "\(naming)")
      #expect(component.graphs.map(\.name) == expected.map(\.name))
    }
  }

  /// Heads are not part of any shape: they are those of that Stable Diffusion version.
  @Test func headsAreThoseOfTheKind() throws {
    let heads: [String: JSON] = [
      "v1.5": 8, "v1.5 inpainting": 8, "2.x": [5, 10, 20, 20], "narrow": 8,
    ]
    for network in SpelledNetwork.all where network.architecture == .unet {
      guard let expected = heads[network.size] else { continue }
      let inferred = ConfigurationInference.configuration(
        of: .unet, try network.tensors(.published), path: "weights")
      #expect(inferred?.object["attention_head_dim"] == expected, "\(network.size)")
    }
  }

  /// A decoder alone determines the VAE as well as the whole.
  @Test(arguments: [false, true])
  func aDecoderIsEnough(isSingleFile: Bool) throws {
    for network in SpelledNetwork.all where network.architecture == .vae {
      let naming = Naming(isSingleFile ? .singleFile : .published)
      let decoder = try network.tensors(naming).filter { !$0.name.hasPrefix("encoder.") }
      let inferred = try #require(
        ConfigurationInference.configuration(of: .vae, decoder, path: "weights"))
      let component = Component(
        name: .vae, architecture: inferred.architecture, configuration: inferred, path: "weights",
        format: .safetensors, tensors: decoder)
      #expect(component.graphs.last?.parameters == (try network.graphs().last?.parameters))
    }
  }
}

/// Single files: which tensors are of which network.
@Suite struct SingleFileTests {
  static func v15(_ size: String = "v1.5") -> [SpelledNetwork] {
    SpelledNetwork.all.filter { $0.size == size }
  }

  static let prefixes: [[Naming]] = [
    [
      Naming(.singleFile, prefix: "cond_stage_model.transformer."),
      Naming(.singleFile, prefix: "first_stage_model."),
      Naming(.singleFile, prefix: "model.diffusion_model."),
    ],
    [
      Naming(.singleFile, prefix: "cond_stage_model.transformer.", spelling: 1),
      Naming(.singleFile, prefix: "vae."),
      Naming(.singleFile, prefix: "diffusion_model."),
    ],
    [
      Naming(.singleFile, prefix: "text_encoders.clip_l.transformer."),
      Naming(.singleFile, prefix: "vae."),
      Naming(.singleFile, prefix: "model.diffusion_model."),
    ],
    [
      Naming(.published, prefix: "text_encoder."), Naming(.published, prefix: "vae."),
      Naming(.published, prefix: "unet."),
    ],
  ]

  @Test(arguments: prefixes, ["", "state_dict."])
  func networksAreToldApart(namings: [Naming], wrapper: String) throws {
    let networks = SingleFileTests.v15()
    var tensors = try zip(networks, namings).flatMap { try $0.tensors($1, wrapper: wrapper) }
    let isLDM = namings[2].prefix == "model.diffusion_model."
    if isLDM {
      tensors += try networks[2].tensors(NetworkDescriptor.average, wrapper: wrapper)
      tensors.append(.floats(wrapper + "model_ema.decay", [0.9999]))
    }
    tensors.append(.floats(wrapper + "betas", [1, 2]))
    tensors.append(.floats("optimizer_states.0.state.0.exp_avg", [1, 2]))
    let file = TensorFile(path: "weights", format: .pytorch, tensors: tensors.shuffled())
    let components = ModelCheckpoint.of(file).components
    #expect(
      components.map(\.name)
        == [.textEncoder, .unet, .vae] + (isLDM ? [.unetEMA] : []) + [.other])
    for component in components.dropLast() {
      #expect(component.manifest?.problems == [], "\(component.name)")
      try component.requireComplete()
    }
    for (network, naming) in zip(networks, namings) {
      let component = try #require(
        components.first { $0.name == network.architecture.component })
      #expect(component.naming?.family == naming.family)
      #expect(component.naming?.prefix == naming.prefix)
    }
    #expect(
      Set(components.last?.tensors.map(\.name) ?? [])
        == [wrapper + "betas", "optimizer_states.0.state.0.exp_avg"])
  }
}
