/// A way in which checkpoints spell the names of a network's parameters.
///
/// Every name is made from the parameter's own path in the graph, so that no table can drift from
/// the network, and a name read back gives the one parameter that it was made of.
public struct Naming: Sendable, Hashable {
  /// Which names these are.
  public enum Family: String, Sendable, Hashable {
    /// The names of diffusers and transformers.
    case published = "diffusers"
    /// The names of the original single files (LDM).
    case singleFile = "ldm"
    /// The averaged weights of a training checkpoint: single-file names without their dots.
    case average = "ema"
    /// The names of OpenCLIP's text encoder, which single files of Stable Diffusion 2 hold; queries,
    /// keys and values are one tensor there.
    case openCLIP = "openclip"
  }

  /// Which names these are.
  public let family: Family
  /// What stands before each name, full stop included.
  public let prefix: String
  /// Which of the family's spellings: 0 is today's, the others are a parameter's other names in
  /// their order, or the last of them: VAE attention as of 2022, text encoders without `text_model.`.
  public let spelling: Int

  public init(_ family: Family, prefix: String = "", spelling: Int = 0) {
    self.family = family
    self.prefix = prefix
    self.spelling = spelling
  }

  /// The name of a parameter in this naming.
  ///
  /// Averages: `model.diffusion_model.out.0.weight` is `model_ema.diffusion_modelout0weight`.
  /// Source: `LitEma` of the latent diffusion code, which cannot register names with dots.
  public func name(of parameter: Parameter) -> String {
    switch family {
    case .published:
      return prefix + spelled(parameter.aliases, parameter.name)
    case .singleFile:
      return prefix + spelled(parameter.singleFileTailAliases, parameter.singleFileTail)
    case .average:
      let name = parameter.singleFileName
      let module = name.hasPrefix("model.") ? name.dropFirst("model.".count) : name[...]
      return prefix + module.filter { $0 != "." }
    case .openCLIP:
      return prefix + (parameter.openCLIP?.name ?? parameter.name)
    }
  }

  private func spelled(_ others: [String], _ usual: String) -> String {
    spelling == 0 || others.isEmpty ? usual : others[min(spelling, others.count) - 1]
  }

  /// Which third of a tensor's rows the parameter is; nil where it has a tensor of its own.
  public func third(of parameter: Parameter) -> Int? {
    family == .openCLIP ? parameter.openCLIP?.third : nil
  }

  /// The shape that the parameter has in this naming's files.
  public func shape(of parameter: Parameter) -> [Int] {
    switch family {
    case .singleFile: return parameter.singleFileShape
    case .openCLIP where third(of: parameter) != nil:
      return [3 * parameter.shape[0]] + parameter.shape.dropFirst()
    case .published, .average, .openCLIP: return parameter.shape
    }
  }
}

extension Naming {
  /// The naming that today's diffusers and transformers write.
  public static let published = Naming(.published)
}
