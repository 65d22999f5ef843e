import CKernels
import Threads

/// The dtype of activations and weights.
public enum Precision: String, Sendable, Hashable, CaseIterable {
  /// float32 throughout.
  case f32
  /// bfloat16 activations and weights; sums, statistics and softmax in float32.
  case bf16

  /// Whether this CPU has bfloat16 matmul instructions, which make it faster than ``f32``.
  public static var isBF16Native: Bool { sdk_has_bf16() != 0 }

  /// The faster precision: ``bf16`` if this CPU supports it and SDLOOM_ISA does not disable it.
  public static var automatic: Precision {
    isBF16Native && sdk_isa_current() == SDK_AVX512 ? .bf16 : .f32
  }

  /// Whether sdloom's matmul kernels are fast with the current instruction set; otherwise oneDNN's
  /// are used.
  var hasProducts: Bool {
    switch self {
    case .f32: sdk_isa_current() != SDK_PLAIN
    // On a CPU with AMX, oneDNN's are faster.
    case .bf16: sdk_isa_current() == SDK_AVX512 && Self.isBF16Native && sdk_has_tiles() == 0
    }
  }
}

/// Options of an executable.
public struct EngineOptions: Sendable, Hashable {
  /// The number of threads, at most the number of available cores; nil uses all cores, but one for
  /// networks so small that synchronization would dominate.
  public let threads: Int?
  /// The precision of matmuls and convolutions.
  public let precision: Precision
  /// Inputs that often stay the same between runs, such as the prompt between steps. Results that
  /// depend only on them are kept while their generation, passed to `run`, is unchanged.
  public let constantInputs: Set<String>
  /// Whether weights are in a temporary file (in TMPDIR, otherwise /var/tmp) whose pages are
  /// released after each layer, so that memory contains little more than activations.
  public let keepsWeightsInFile: Bool

  public init(
    threads: Int? = nil, precision: Precision = .f32,
    constantInputs: Set<String> = ["encoder_hidden_states"], keepsWeightsInFile: Bool = false
  ) {
    self.keepsWeightsInFile = keepsWeightsInFile
    self.threads = threads.map { max(1, min($0, EngineOptions.coreCount)) }
    self.precision = precision
    self.constantInputs = constantInputs
  }

  /// The number of threads for a network with this many multiply-accumulates per run.
  func threads(macs: Int) -> Int {
    // One core finishes sub-millisecond layers quickly; two on a busy machine wait for whole time
    // slices at each of about five hundred layers.
    threads ?? (macs < 1_000_000_000 ? 1 : EngineOptions.coreCount)
  }

  /// The number of cores available to this process.
  public static var coreCount: Int { Cores.count }

  /// The kernels' instruction set: `plain`, `avx2` or `avx512`.
  ///
  /// The environment variable `SDLOOM_ISA` lowers it.
  public static var instructionSet: String {
    switch sdk_isa_current() {
    case SDK_AVX512: "avx512"
    case SDK_AVX2: "avx2"
    default: "plain"
    }
  }
}
