import CKernels
import Threads

/// The type of the numbers that flow between layers and that layers multiply.
public enum Precision: String, Sendable, Hashable, CaseIterable {
  /// 32-bit floating point throughout.
  case f32
  /// bfloat16 activations and weights; sums, statistics and softmax in 32 bits.
  case bf16

  /// Whether this CPU multiplies bfloat16 directly, so that it is faster than ``f32``.
  public static var isBF16Native: Bool { sdk_has_bf16() != 0 }

  /// The faster one: ``bf16`` where this CPU multiplies it and SDLOOM_ISA does not forbid to.
  public static var automatic: Precision { Precision.bf16.hasProducts ? .bf16 : .f32 }

  /// Whether our own products are fast at the current instruction set; oneDNN's run elsewhere.
  var hasProducts: Bool {
    switch self {
    case .f32: sdk_isa_current() != SDK_PLAIN
    case .bf16: sdk_isa_current() == SDK_AVX512 && Self.isBF16Native
    }
  }
}

/// How an executable runs.
public struct EngineOptions: Sendable, Hashable {
  /// Threads for every layer, never more than the cores that the process may use; nil uses all
  /// cores, but one for a network so small that threads would wait for each other longer than
  /// they work.
  public let threads: Int?
  /// The type that matrix products and convolutions are computed in.
  public let precision: Precision
  /// Inputs that often stay the same from run to run, as the prompt does from step to step. What
  /// depends on them alone is kept while their generation, given to `run`, stays the same.
  public let steadyInputs: Set<String>
  /// Whether weights lie in a temporary file (in TMPDIR, else /var/tmp) of which the pages are given
  /// back after each layer, so that memory holds little more than what flows between layers.
  public let keepsWeightsInFile: Bool

  public init(
    threads: Int? = nil, precision: Precision = .f32,
    steadyInputs: Set<String> = ["encoder_hidden_states"], keepsWeightsInFile: Bool = false
  ) {
    self.keepsWeightsInFile = keepsWeightsInFile
    self.threads = threads.map { max(1, min($0, EngineOptions.coreCount)) }
    self.precision = precision
    self.steadyInputs = steadyInputs
  }

  /// The threads for a network of that many multiply-accumulates a run.
  func threads(macs: Int) -> Int {
    // Layers of a millisecond are soon done by one core; two on a busy machine wait for whole
    // time slices at each of some five hundred layers.
    threads ?? (macs < 1_000_000_000 ? 1 : EngineOptions.coreCount)
  }

  /// The cores that this process may run on.
  public static var coreCount: Int { Cores.count }

  /// The instruction set that the kernels use: `plain`, `avx2` or `avx512`.
  ///
  /// `SDLOOM_ISA` in the environment lowers it.
  public static var instructionSet: String {
    switch sdk_isa_current() {
    case SDK_AVX512: "avx512"
    case SDK_AVX2: "avx2"
    default: "plain"
    }
  }
}
