import ModelFormats
import ModelGraph

extension Conversion {
  /// What is written.
  public enum Target: String, Sendable, CaseIterable {
    /// One flat file with everything.
    case sdflat
    /// The same layout in safetensors or PyTorch's format: one file, or of a repository a repository.
    /// A textual inversion under the names that other programs read.
    case safetensors
    /// A repository directory, or of one component its directory, under diffusers' names.
    case diffusers
    /// One file under the names of the original single files (LDM).
    case ldm
    /// One GGUF file under the same names, as stable-diffusion.cpp reads it.
    case gguf
  }

  /// What a conversion changes besides the layout.
  public struct Options: Sendable {
    /// The type that F64, F32, F16, BF16 and 8-bit floating-point tensors get, unless they are buffers
    /// such as the noise schedule; nil keeps each tensor's own.
    public var dtype: DType?
    /// Whether matrices of a GGUF file become blocks of Q8_0; what is left has ``dtype``.
    public var quantize = false
    /// The components that are converted; nil converts all.
    public var components: [ComponentName]?
    /// Whether an output that exists may be replaced.
    public var overwrite = false
    /// Whether values beyond the largest of ``dtype`` become that value instead of an error.
    public var saturate = false
    /// Whether the UNet is the averaged one of a training checkpoint.
    public var useAverages = false
    /// Whether tensors that belong to no network and are of no known kind are left out.
    public var dropUnknown = false
    /// Whether `diffusers`, `ldm` and `safetensors` are written as safetensors or as PyTorch files;
    /// nil decides for `ldm` by the ending of the output's name: `.ckpt`, `.pt`, `.pth` and `.bin`
    /// are PyTorch's.
    public var format: WeightsFormat?
    /// Whether a flat file tells the SHA-256 of the files that it was made from.
    public var hashSources = false
    /// Small files to take where the source has none: a tokenizer's.
    public var companions: [AuxiliaryFile] = []

    /// The type of 8-bit floating-point tensors where no type is asked for; nil keeps theirs.
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

    /// Whether weights are written with their scales multiplied in.
    var multipliesScales: Bool { dtype != nil || quantize || eightBitType != nil }

    /// Whether a tensor's values are read as F32 to be written: 8-bit ones that are cast.
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
