import Checkpoint
import Engine
import Glibc
import ModelFormats
import ModelGraph

/// What memory drawing will take, told before anything is loaded.
///
/// An estimate: weights in the type that is computed in, and for each network the values that are
/// alive at once, as float32 or half of that; and a seventh more, for layouts, working memory and the
/// program itself. Of SD v1.5 at 512x512 it says 5.3 GiB in f32 and 2.6 in bf16; taken were, at one
/// step, 5.3 and 2.5.
public struct MemoryForecast: Sendable, Hashable {
  /// A network and its bytes.
  public struct Part: Sendable, Hashable {
    /// The network, as in `unet`.
    public let name: String
    /// Bytes of its weights.
    public let weights: Int
    /// Bytes of its working memory.
    public let activations: Int
  }

  /// Each network.
  public let parts: [Part]

  /// The weights of every network.
  public var weights: Int { parts.reduce(0) { Self.sum($0, $1.weights) } }

  /// The working memory of every network, which each keeps.
  public var activations: Int { parts.reduce(0) { Self.sum($0, $1.activations) } }

  /// All of it, with what comes on top.
  public var bytes: Int {
    let sum = Self.sum(weights, activations)
    return Self.sum(sum, sum / 7)
  }

  /// - Parameters:
  ///   - width: of the largest picture that is drawn, in pixels.
  ///   - isGuided: whether the UNet runs on prompt and negative prompt together.
  ///   - batch: how many pictures are drawn at once.
  ///   - encodes: whether pictures are read by the VAE's encoder.
  ///   - tiling: how large pictures are decoded.
  ///   - weightsInFile: whether weights lie in a file, of which memory holds next to nothing.
  ///   - additions: what is loaded beside the model. What of it cannot be read counts nothing; that
  ///     is for loading to say.
  public init(
    _ checkpoint: ModelCheckpoint, precision: Precision, width: Int, height: Int, isGuided: Bool,
    batch: Int = 1, encodes: Bool, tiling: VAETiling = .automatic, weightsInFile: Bool = false,
    additions: ModelAdditions = ModelAdditions()
  ) {
    var parts: [Part] = []
    func add(_ graph: Graph?, _ sizes: Sizes, as name: String? = nil, in precision: Precision) {
      guard let graph else { return }
      let elements = graph.parameters.reduce(0) { Self.sum($0, $1.elementCount) }
      let (weights, overflow) = elements.multipliedReportingOverflow(by: precision == .bf16 ? 2 : 4)
      parts.append(
        Part(
          name: name ?? graph.name.rawValue, weights: weightsInFile ? 0 : overflow ? .max : weights,
          activations: graph.peakActivationBytes(sizes) / (precision == .bf16 ? 2 : 1)))
    }
    let unet = checkpoint[.unet]?.configuration.flatMap { try? UNetConfiguration($0.object) }
    let isGuided = isGuided && unet?.guidanceWidth == nil
    let guided = Sizes(
      batch: (isGuided ? 2 : 1) * batch, height: height / DiffusionModel.downsampling,
      width: width / DiffusionModel.downsampling, sequence: 77)
    // Pictures of a batch share their prompts.
    var prompts = guided
    prompts.batch = isGuided ? 2 : 1
    var single = guided
    single.batch = 1
    // The tiles that the VAE works on.
    var tile = single
    tile.height = tiling.tileLength(tile.height)
    tile.width = tiling.tileLength(tile.width)
    for component in checkpoint.components where ComponentName.required.contains(component.name) {
      for graph in component.graphs where encodes || graph.name != .vaeEncoder {
        let sizes =
          graph.traits.contains(.runsOncePerImage)
          ? tile : graph.takesTokens ? prompts : guided
        add(graph, sizes, in: precision)
      }
    }
    for path in additions.controlNets {
      let component = try? ModelCheckpoint.open(path)[.controlNet]
      add(try? component?.graph(.controlNet), guided, in: precision)
    }
    if additions.reusesDeepFeatures, let unet = try? checkpoint[.unet]?.graph(.unet),
      let node = AdditionLoader.lastUpLayer(unet)
    {
      add(
        unet.taking(inputOf: node, as: AdditionalNetworks.deepFeatures), guided,
        as: "shallow unet", in: precision)
    }
    if let path = additions.tinyAutoencoder {
      let component = try? ModelCheckpoint.open(path)[.tinyAutoencoder]
      add(try? component?.graph(.tinyDecoder), single, in: precision)
    }
    if additions.checksSafety {
      // It always computes in f32.
      add(try? checkpoint[.safetyChecker]?.graph(.safetyChecker), single, in: .f32)
    }
    self.parts = parts
  }

  private static func sum(_ left: Int, _ right: Int) -> Int {
    let (sum, overflow) = left.addingReportingOverflow(right)
    return overflow ? .max : sum
  }
}

/// The memory that this process may have.
///
/// Source: proc(5), `MemTotal` and `MemAvailable`; the kernel's cgroup-v2.rst and
/// cgroup-v1/memory.rst.
public struct MemorySupply: Sendable, Hashable {
  /// What the machine, or the group that the process belongs to, has at all.
  public var total: Int
  /// What is free now, or would be if caches gave way.
  public var available: Int

  public init(total: Int, available: Int) {
    self.total = total
    self.available = available
  }

  /// What there is now; nil where the system does not say.
  public static var current: MemorySupply? {
    guard let text = contents("/proc/meminfo"), let total = field("MemTotal:", of: text),
      let available = field("MemAvailable:", of: text)
    else { return nil }
    var supply = MemorySupply(total: total * 1024, available: available * 1024)
    for group in groups {
      guard let limit = number("\(group.path)/\(group.limit)"), limit < supply.total else {
        continue
      }
      supply.total = limit
      let used = number("\(group.path)/\(group.usage)") ?? 0
      let cached =
        contents("\(group.path)/memory.stat").flatMap { text in
          field(group.cache, of: text)
        } ?? 0
      supply.available = min(supply.available, max(0, limit - used + cached))
    }
    return supply
  }

  private struct Group {
    let path: String
    let limit: String
    let usage: String
    let cache: String
  }

  /// The process's own group and those around it, of either version.
  private static var groups: [Group] {
    var groups: [Group] = []
    for line in (contents("/proc/self/cgroup") ?? "").split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { continue }
      let isSecond = parts[0] == "0" && parts[1].isEmpty
      guard isSecond || parts[1].split(separator: ",").contains("memory") else { continue }
      let root = isSecond ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory"
      var names = parts[2].split(separator: "/").map(String.init)
      while true {
        let path = ([root] + names).joined(separator: "/")
        groups.append(
          isSecond
            ? Group(
              path: path, limit: "memory.max", usage: "memory.current", cache: "inactive_file")
            : Group(
              path: path, limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes",
              cache: "total_inactive_file"))
        guard names.popLast() != nil else { break }
      }
    }
    return groups
  }

  private static func number(_ path: String) -> Int? {
    contents(path).flatMap { Int($0.prefix { $0.isNumber }) }
  }

  /// The number behind a name at the start of a line.
  private static func field(_ name: String, of text: String) -> Int? {
    let line = text.split(separator: "\n").first {
      $0.hasPrefix(name) && $0.dropFirst(name.count).first?.isWhitespace ?? false
    }
    return line.flatMap { $0.split(whereSeparator: \.isWhitespace).dropFirst().first }
      .flatMap { Int($0) }
  }

  private static func contents(_ path: String) -> String? {
    guard let file = fopen(path, "re") else { return nil }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    let count = fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes[..<count], as: UTF8.self)
  }
}
