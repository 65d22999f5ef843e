import ModelFormats

extension Remedy {
  /// The remedy in terms of the command line.
  public var phrased: String {
    phrased(
      setting: Remedy.option, action: Remedy.command, package: Remedy.installation,
      pythonPackage: { "run `pip install \($0)`" })
  }

  private static func command(_ action: Action) -> String {
    switch action {
    case .inspect: "`sdinspect summary`"
    case .verify: "`sdinspect verify`"
    case .convert: "`sdinspect convert`"
    }
  }

  private static func installation(_ package: String) -> String {
    "install \(package) (`apt-get install \(package)` on Debian and Ubuntu)"
  }

  /// The option of the programs that has a setting.
  package static func option(_ name: Setting.Name) -> String {
    switch name {
    case .overwrite: "--force"
    case .saturate: "--saturate"
    case .dropUnknown: "--drop-unknown"
    case .useAverages: "--ema"
    case .components: "--component"
    case .variant: "--variant"
    case .layout: "--to"
    case .dtype: "--dtype"
    case .tokenizer: "--tokenizer"
    case .placement: "--weights"
    case .naming: "--names"
    case .initialPicture: "--init"
    case .mask: "--mask"
    case .hiresStrength: "--hires-strength"
    case .hiresSteps: "--hires-steps"
    case .safetyChecker: "--no-safety-checker"
    case .tokenMerging: "--token-merging"
    case .cacheInterval: "--cache-interval"
    case .latents: "--save-latents"
    case .metadata: "--no-metadata"
    case .model: "--model"
    }
  }

  private static func option(_ setting: Setting) -> String {
    let option = option(setting.name)
    guard let value = setting.value else { return option }
    // A flag that turns something off.
    return value == "off" ? option : "\(option) \(value)"
  }
}
