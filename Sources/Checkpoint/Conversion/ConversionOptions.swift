import ModelFormats
import ModelGraph

extension Conversion {
  /// The target layout.
  public enum Target: String, Sendable, CaseIterable {
    /// One .sdflat file with everything.
    case sdflat
    /// The same layout in safetensors or PyTorch format: one file, or a repository for a
    /// repository. Textual inversions get the names that other programs read.
    case safetensors
    /// A repository directory, or for one component its directory, with diffusers names.
    case diffusers
    /// One file with the names of the original single files (LDM).
    case ldm
    /// One GGUF file with the same names, for stable-diffusion.cpp.
    case gguf
  }

  /// What a conversion changes besides the layout.
  public struct Options: Sendable {
    /// The target dtype of F64, F32, F16, BF16 and 8-bit floating-point tensors, except buffers
    /// such as the noise schedule; nil keeps each tensor's dtype.
    public var dtype: DType?
    /// Whether matrices of a GGUF file are quantized to Q8_0; other tensors get ``dtype``.
    public var quantize = false
    /// The components to convert; nil converts all.
    public var components: [ComponentName]?
    /// Whether an existing output may be replaced.
    public var overwrite = false
    /// Whether values out of range of ``dtype`` are clamped instead of causing an error.
    public var saturate = false
    /// Whether to use the EMA weights of a training checkpoint.
    public var useAverages = false
    /// Whether to drop unknown tensors that belong to no network.
    public var dropUnknown = false
    /// Whether `diffusers`, `ldm` and `safetensors` are written as safetensors or PyTorch files;
    /// nil decides for `ldm` by the output's extension: `.ckpt`, `.pt`, `.pth` and `.bin` mean
    /// PyTorch.
    public var format: WeightsFormat?
    /// Whether a .sdflat file contains the SHA-256 of its source files.
    public var hashSources = false
    /// Small files to use if the source has none: a tokenizer's.
    public var companions: [AuxiliaryFile] = []

    /// The target dtype of 8-bit floating-point tensors if none is requested; nil keeps theirs.
    var eightBitType: DType?

    public init(
      dtype: DType? = nil, components: [ComponentName]? = nil, overwrite: Bool = false,
      saturate: Bool = false
    ) {
      self.dtype = dtype
      self.components = components
      self.overwrite = overwrite
      self.saturate = saturate
    }

    func type(of tensor: Tensor) -> DType {
      if Summary.isBuffer(tensor) { return tensor.dtype }
      let requested = dtype ?? (tensor.isEightBit ? eightBitType : nil)
      return Cast.result(of: tensor.dtype, requested: requested)
    }

    /// Whether weights are written multiplied by their scales.
    var multipliesScales: Bool { dtype != nil || quantize || eightBitType != nil }

    /// Whether a tensor's values are decoded to F32 for writing: 8-bit values to be cast.
    func decodes(_ tensor: Tensor) -> Bool {
      tensor.dtype.isEightBitFloat && (quantize || type(of: tensor) != tensor.dtype)
    }
  }

  /// The format of the files that are written.
  typealias Container = TensorFile.Format
}

extension Conversion.Target {
  func container(_ format: WeightsFormat?, path: String) -> Conversion.Container {
    switch self {
    case .sdflat: return .sdflat
    case .gguf: return .gguf
    case .safetensors: return format == .bin ? .pytorch : .safetensors
    case .diffusers: return format == .bin ? .pytorch : .safetensors
    case .ldm:
      let isPyTorch = FormatDescriptor.zip.endings.contains { path.hasSuffix($0) }
      return (format ?? (isPyTorch ? .bin : .safetensors)) == .bin ? .pytorch : .safetensors
    }
  }
}
