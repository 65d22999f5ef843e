import Engine
import ModelFormats
import ModelGraph

/// Makes networks of graphs and weights, for the engine that was chosen.
struct NetworkFactory: Sendable {
  private enum Engine: Sendable {
    case native
    case onnxRuntime(ONNXRuntime, ONNXRuntimeSettings, ExportCache)
  }

  let options: EngineOptions
  private let engine: Engine

  /// - Throws: ``EngineError`` `missing` if the engine needs a library that is not installed;
  ///   ``FormatError`` if there is no place for the cache.
  init(_ engine: NetworkEngine, _ options: EngineOptions) throws {
    self.options = options
    switch engine {
    case .native: self.engine = .native
    case .onnxRuntime(let settings):
      // The library first: without it nothing is exported.
      let runtime = try ONNXRuntime.load(from: settings.library)
      self.engine = .onnxRuntime(
        runtime, settings,
        try ExportCache(settings.cacheDirectory, limit: settings.cacheLimit))
    }
  }

  /// Our own engine.
  init(_ options: EngineOptions) {
    self.options = options
    engine = .native
  }

  /// The same, always in F32.
  var inSinglePrecision: NetworkFactory {
    NetworkFactory(
      options: EngineOptions(
        threads: options.threads, constantInputs: options.constantInputs,
        keepsWeightsInFile: options.keepsWeightsInFile), engine: engine)
  }

  private init(options: EngineOptions, engine: Engine) {
    self.options = options
    self.engine = engine
  }

  /// A network that is ready to run.
  ///
  /// - Parameters:
  ///   - sizes: for which it is prepared; it runs with others too.
  ///   - constantInputs: inputs that often stay the same between runs; nil for the options'.
  ///   - parameters: the tensor of a parameter of the graph.
  ///   - progress: called with the number of parameters loaded and in total.
  /// - Throws: ``EngineError``; ``FormatError``; what `parameters` throws.
  func network(
    _ graph: Graph, sizes: Sizes, constantInputs: Set<String>? = nil,
    parameters: (String) throws -> Tensor, progress: ((Int, Int) -> Void)? = nil
  ) throws -> any Network {
    let constant = constantInputs ?? options.constantInputs
    switch engine {
    case .native:
      return try Executable(
        graph: graph, parameters: parameters,
        options: EngineOptions(
          threads: options.threads, precision: options.precision, constantInputs: constant,
          keepsWeightsInFile: options.keepsWeightsInFile),
        sizes: sizes, progress: progress)
    case .onnxRuntime(let runtime, let settings, let cache):
      let entry = try cache.entry(
        graph, usesHalfPrecision: settings.usesHalfPrecision, parameters: parameters,
        progress: progress)
      let network = try ONNXRuntimeNetwork(
        model: entry.modelPath, runtime: runtime,
        options: ONNXRuntimeOptions(
          provider: settings.provider, threads: options.threads, precision: options.precision,
          constantInputs: constant,
          // OpenVINO's own names in its cache are the same for F32 and BF16.
          engineCache: "\(entry.directory)/engines-\(options.precision.rawValue)"))
      return CachedNetwork(network, entry)
    }
  }
}

/// A network that holds its cache entry, which must not be removed meanwhile.
private final class CachedNetwork: Network {
  private let network: any Network
  private let entry: ExportCache.Entry

  init(_ network: any Network, _ entry: ExportCache.Entry) {
    self.network = network
    self.entry = entry
  }

  func run(
    _ inputs: [String: Value], inputVersions: [String: Int], observer: ((StepTiming) -> Void)?
  ) throws -> [String: Value] {
    try network.run(inputs, inputVersions: inputVersions, observer: observer)
  }
}
