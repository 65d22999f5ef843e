extension SamplerLabel {
  /// The scheduler and spacing that a name stands for: the command line's, the AUTOMATIC1111 web
  /// UI's (`DPM++ 2M Karras`), ComfyUI's (`dpmpp_2m`), stable-diffusion.cpp's (`dpm++2m`),
  /// k-diffusion's (`k_euler_a`), or that of diffusers' class; nil where it is none of them.
  ///
  /// Letters' case, spaces, underscores and hyphens make no difference.
  public init?(name: String) {
    if let scheduler = SchedulerName(className: name) {
      self.init(scheduler: scheduler.rawValue)
      return
    }
    var plain = Self.plain(name)
    if let scheduler = Self.scheduler(plain) {
      self.init(scheduler: scheduler.rawValue)
      return
    }
    for (ending, sigmas) in Self.endings where plain.hasSuffix(ending) {
      plain.removeLast(ending.count)
      guard let scheduler = Self.scheduler(plain) else { return nil }
      self.init(scheduler: scheduler.rawValue, sigmas: sigmas)
      return
    }
    return nil
  }

  /// What to ask for instead, of names that are known but mean something that is not here: options
  /// of the command line.
  public static func substitute(for name: String) -> String? {
    var plain = plain(name)
    var spacing = ""
    for (ending, sigmas) in endings where plain.hasSuffix(ending) && plain != ending {
      plain.removeLast(ending.count)
      spacing = sigmas.map { " --sigmas \($0)" } ?? ""
      break
    }
    guard let substitute = substitutes[plain] else { return nil }
    guard substitute.hasPrefix("--scheduler") else { return spacing.isEmpty ? substitute : nil }
    return substitute + spacing
  }

  /// How names end that say the spacing of noise levels; nil for the scheduler's own.
  private static let endings: [(ending: String, sigmas: String?)] = [
    ("karras", "karras"), ("exponential", "exponential"), ("alignyoursteps", "ays"), ("ays", "ays"),
    ("automatic", nil), ("discrete", nil),
  ]

  /// Small letters and digits alone, a plus as p; without k-diffusion's mark.
  private static func plain(_ name: String) -> String {
    var lowered = name.lowercased()
    for mark in ["k_", "k-"] where lowered.hasPrefix(mark) { lowered.removeFirst(mark.count) }
    return String(
      lowered.compactMap { letter -> Character? in
        letter == "+" ? "p" : letter.isLetter || letter.isNumber ? letter : nil
      })
  }

  private static func scheduler(_ plain: String) -> SchedulerName? {
    if let scheduler = SchedulerName.allCases.first(where: { Self.plain($0.rawValue) == plain }) {
      return scheduler
    }
    switch plain {
    case "plms": return .pndm
    case "eulerancestral": return .eulerAncestral
    case "dpm2ancestral": return .dpm2Ancestral
    case "unipcbh2": return .unipc
    default: return nil
    }
  }

  private static let substitutes = [
    "ddimtrailing": "--scheduler ddim --spacing trailing",
    "ddimcfgpp": "--scheduler ddim", "eulercfgpp": "--scheduler euler",
    "eulerancestralcfgpp": "--scheduler euler-a", "euleracfgpp": "--scheduler euler-a",
    "heunpp2": "--scheduler heun", "ipndm": "--scheduler pndm", "ipndmv": "--scheduler pndm",
    "dpmpp": "--scheduler dpmpp-2m", "dpmsolver": "--scheduler dpmpp-2m",
    "dpmsolverpp": "--scheduler dpmpp-2m", "dpmpp2mv2": "--scheduler dpmpp-2m",
    "dpmfast": "--scheduler dpmpp-2m", "dpmadaptive": "--scheduler dpmpp-2m",
    "dpmppsdegpu": "--scheduler dpmpp-sde --rng cuda",
    "dpmpp2msdegpu": "--scheduler dpmpp-2m-sde --rng cuda",
    "dpmpp2msdeheun": "--scheduler dpmpp-2m-sde", "dpmpp3msde": "--scheduler dpmpp-2m-sde",
    "dpmpp3msdegpu": "--scheduler dpmpp-2m-sde --rng cuda",
    "dpmpp2sa": "--scheduler dpmpp-2s, which adds no noise, or --scheduler dpm2-a",
    "dpmpp2sancestral": "--scheduler dpmpp-2s, which adds no noise, or --scheduler dpm2-a",
    "restart": "--scheduler heun",
    // Where other programs give the spacing.
    "karras": "--sigmas karras with --scheduler dpmpp-2m or another that takes noise levels",
    "exponential":
      "--sigmas exponential with --scheduler dpmpp-2m or another that takes noise levels",
    "ays": "--sigmas ays with --scheduler dpmpp-2m or another that takes noise levels",
  ]
}
