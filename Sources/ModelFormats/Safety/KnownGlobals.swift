import OrderedJSON

/// The classes and functions that plain tensors and containers need, and nothing else: the list
/// that decides whether a pickle is safe. Every other name is code that unpickling would import.
///
/// A name is listed only if calling it is harmless with any arguments, or if its ``Rule`` says how
/// the arguments are checked.
enum KnownGlobals {
  /// The effect of calling a known name.
  enum Rule: Sendable, Hashable {
    /// Makes a tensor, a container or a number from any arguments.
    case harmless
    /// Makes a container or bytes whose length is the first argument.
    case container
    /// Returns its first argument, which may be a module or a class.
    case firstArgument
    /// Encodes text with a codec, which must be one of ``codecs``.
    case codec
    /// Loads its argument as the bytes of a PyTorch file.
    case load
    /// Makes an instance of its first argument from the others: `copyreg.__newobj__`.
    case instance
    /// Makes an instance of its first argument from the second, with the third as keyword
    /// arguments.
    case keywordInstance
    /// Makes an instance of its first argument; the second is its base, the third its state.
    case reconstructor
    /// Calls its first argument with the third, and sets the attributes in the fourth.
    case typedTensor
    /// A class that files instantiate without arguments: its arguments could be memory sizes or
    /// addresses.
    case bare
    /// Makes a NumPy dtype, whose state is checked.
    case numpyType
    /// Makes an empty array, whose contents come from its state.
    case numpyArray
    /// Makes a scalar from a dtype and bytes; for an object dtype it returns its argument.
    case numpyScalar
    /// Makes a tensor from its first argument, and sets the attributes in the fourth.
    case withState
    /// Makes an array over memory described by its arguments; other known names use it only as a
    /// class.
    case array

    /// Whether only its arguments make a call harmless, so that none may be hidden.
    var needsArguments: Bool {
      switch self {
      case .harmless, .container, .array, .bare, .numpyType: false
      default: true
      }
    }
  }

  /// Python's codecs that turn text into bytes.
  static let codecs: Set<String> = ["latin1", "latin-1", "utf8", "utf-8", "ascii"]

  /// The maximum bytes that a call may allocate by a number alone.
  static let allocationLimit = 1 << 28

  /// The rule for a name; nil for unknown names.
  static func rule(of global: Pickle.Global) -> Rule? {
    rules[ExactName("\(python3(global.module)) \(global.name)")]
  }

  /// Whether a name is the class `object`.
  static func isObject(_ global: Pickle.Global) -> Bool {
    python3(global.module) == "builtins" && global.name == "object"
  }

  /// Modules with other names in Python 2 and older NumPy.
  private static func python3(_ module: String) -> String {
    switch module {
    case "__builtin__": "builtins"
    case "copy_reg": "copyreg"
    case "numpy.core.multiarray": "numpy._core.multiarray"
    case "numpy.core.numeric": "numpy._core.numeric"
    default: module
    }
  }

  private static let rules: [ExactName: Rule] = {
    var rules: [ExactName: Rule] = [:]
    for (rule, module, names) in table {
      for name in names.split(whereSeparator: \.isWhitespace) {
        rules[ExactName("\(module) \(name)")] = rule
      }
    }
    return rules
  }()

  private static let storages = """
    BFloat16Storage BoolStorage ByteStorage CharStorage ComplexDoubleStorage ComplexFloatStorage
    DoubleStorage FloatStorage HalfStorage IntStorage LongStorage ShortStorage
    """

  private static let tensors = """
    BFloat16Tensor BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor
    LongTensor ShortTensor
    """

  /// Source: `torch/_utils.py`, `torch/_tensor.py`, `torch/serialization.py` and
  /// `torch/_weights_only_unpickler.py` of PyTorch 2; CPython's `copyreg`; NumPy's `__reduce__`s; the
  /// modules of `torch/nn/modules`, by the classes that each defines.
  private static let table: [(Rule, module: String, names: String)] = [
    // Containers and numbers of Python.
    (.harmless, "builtins", "complex int long float str unicode bool slice object range"),
    (.container, "builtins", "set frozenset list tuple dict bytearray bytes"),
    (.container, "collections", "OrderedDict Counter defaultdict deque"),
    (.harmless, "argparse", "Namespace"),
    (.codec, "_codecs", "encode"),
    (.instance, "copyreg", "__newobj__"),
    (.keywordInstance, "copyreg", "__newobj_ex__"),
    (.reconstructor, "copyreg", "_reconstructor"),
    // Arrays and numbers of NumPy.
    (.numpyArray, "numpy._core.multiarray", "_reconstruct"),
    (.numpyScalar, "numpy._core.multiarray", "scalar"),
    (.harmless, "numpy._core.numeric", "_frombuffer"),
    (.array, "numpy", "ndarray"),
    (.numpyType, "numpy", "dtype"),
    (
      .harmless, "numpy",
      """
      bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64
      complex64 complex128 longdouble clongdouble str_ bytes_ void datetime64 timedelta64
      """
    ),
    (
      .numpyType, "numpy.dtypes",
      """
      BoolDType ByteDType BytesDType CLongDoubleDType Complex128DType Complex64DType DateTime64DType
      Float16DType Float32DType Float64DType Int16DType Int32DType Int64DType Int8DType IntDType
      LongDType LongDoubleDType LongLongDType ObjectDType ShortDType StrDType StringDType
      TimeDelta64DType UByteDType UInt16DType UInt32DType UInt64DType UInt8DType UIntDType ULongDType
      ULongLongDType UShortDType VoidDType
      """
    ),
    // Tensors, storages and types of PyTorch.
    (.bare, "torch", storages),
    (.bare, "torch", tensors),
    (
      .bare, "torch",
      """
      QInt32Storage QInt8Storage QUInt2x4Storage QUInt4x2Storage QUInt8Storage TypedStorage
      UntypedStorage Storage Tensor
      """
    ),
    (.harmless, "torch", "Size device dtype layout memory_format Generator"),
    (
      .harmless, "torch",
      """
      bcomplex32 bfloat16 bits16 bits1x8 bits2x4 bits4x2 bits8 bool complex128 complex32 complex64
      float16 float32 float4_e2m1fn_x2 float64 float8_e4m3fn float8_e4m3fnuz float8_e5m2
      float8_e5m2fnuz float8_e8m0fnu int1 int16 int2 int3 int32 int4 int5 int6 int64 int7 int8 qint32
      qint8 quint2x4 quint4x2 quint8 uint1 uint16 uint2 uint3 uint32 uint4 uint5 uint6 uint64 uint7
      uint8 double float half long int short chalf cfloat cdouble
      per_channel_affine per_channel_affine_float_qparams per_channel_symmetric per_tensor_affine
      per_tensor_symmetric
      """
    ),
    (.bare, "torch.cuda", storages),
    (.bare, "torch.cuda", tensors),
    (.bare, "torch.sparse", tensors),
    (.bare, "torch.cuda.sparse", tensors),
    (.bare, "torch.storage", storages),
    (.bare, "torch.storage", "TypedStorage UntypedStorage"),
    (.load, "torch.storage", "_load_from_bytes"),
    (.harmless, "torch.serialization", "_get_layout"),
    (
      .harmless, "torch.nn.parameter", "Parameter Buffer UninitializedParameter UninitializedBuffer"
    ),
    (.harmless, "torch.nn", "Parameter"),
    (.harmless, "torch.autograd", "Variable"),
    (.harmless, "torch.autograd.variable", "Variable"),
    (.harmless, "torch.torch_version", "TorchVersion"),
    (
      .harmless, "torch._utils",
      """
      _rebuild_device_tensor_from_cpu_tensor _rebuild_device_tensor_from_numpy
      _rebuild_meta_tensor_no_storage _rebuild_nested_tensor _rebuild_parameter
      _rebuild_qtensor _rebuild_sparse_csr_tensor
      _rebuild_sparse_tensor _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3
      _rebuild_wrapper_subclass _rebuild_xla_tensor
      """
    ),
    (.withState, "torch._utils", "_rebuild_parameter_with_state"),
    (.typedTensor, "torch._tensor", "_rebuild_from_type_v2"),
    (.typedTensor, "torch._tensor", "_rebuild_from_type"),
    (.typedTensor, "torch.tensor", "_rebuild_from_type"),
    (
      .firstArgument, "torch.jit._pickle",
      """
      build_boollist build_doublelist build_intlist build_tensor_from_id build_tensorlist
      restore_type_tag
      """
    ),
    // Modules of models that were saved whole.
    (
      .bare, "torch.nn.modules.activation",
      """
      CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax Mish
      MultiheadAttention PReLU RReLU ReLU ReLU6 SELU SiLU Sigmoid Softmax Softmax2d Softmin Softplus
      Softshrink Softsign Tanh Tanhshrink Threshold
      """
    ),
    (.bare, "torch.nn.modules.adaptive", "AdaptiveLogSoftmaxWithLoss"),
    (
      .bare, "torch.nn.modules.batchnorm",
      "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d"
    ),
    (.bare, "torch.nn.modules.channelshuffle", "ChannelShuffle"),
    (
      .bare, "torch.nn.modules.container",
      "Container ModuleDict ModuleList ParameterDict ParameterList Sequential"
    ),
    (
      .bare, "torch.nn.modules.conv",
      """
      Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv1d LazyConv2d
      LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d
      """
    ),
    (.bare, "torch.nn.modules.distance", "CosineSimilarity PairwiseDistance"),
    (
      .bare, "torch.nn.modules.dropout",
      "AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout"
    ),
    (.bare, "torch.nn.modules.flatten", "Flatten Unflatten"),
    (.bare, "torch.nn.modules.fold", "Fold Unfold"),
    (
      .bare, "torch.nn.modules.instancenorm",
      """
      InstanceNorm1d InstanceNorm2d InstanceNorm3d LazyInstanceNorm1d LazyInstanceNorm2d
      LazyInstanceNorm3d
      """
    ),
    (
      .bare, "torch.nn.modules.linear",
      "Bilinear Identity LazyLinear Linear NonDynamicallyQuantizableLinear _LinearWithBias"
    ),
    (
      .bare, "torch.nn.modules.loss",
      """
      BCELoss BCEWithLogitsLoss CTCLoss CosineEmbeddingLoss CrossEntropyLoss GaussianNLLLoss
      HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss MSELoss MarginRankingLoss MultiLabelMarginLoss
      MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss NLLLoss2d PoissonNLLLoss SmoothL1Loss
      SoftMarginLoss TripletMarginLoss TripletMarginWithDistanceLoss
      """
    ),
    (.bare, "torch.nn.modules.module", "Module"),
    (
      .bare, "torch.nn.modules.normalization",
      "CrossMapLRN2d GroupNorm LayerNorm LocalResponseNorm RMSNorm"
    ),
    (
      .bare, "torch.nn.modules.padding",
      """
      CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d
      ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d
      ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d
      """
    ),
    (.bare, "torch.nn.modules.pixelshuffle", "PixelShuffle PixelUnshuffle"),
    (
      .bare, "torch.nn.modules.pooling",
      """
      AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d
      AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d FractionalMaxPool2d FractionalMaxPool3d LPPool1d
      LPPool2d LPPool3d MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d
      """
    ),
    (
      .bare, "torch.nn.modules.rnn", "GRU GRUCell LSTM LSTMCell RNN RNNBase RNNCell RNNCellBase"
    ),
    (.bare, "torch.nn.modules.sparse", "Embedding EmbeddingBag"),
    (
      .bare, "torch.nn.modules.transformer",
      """
      Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder
      TransformerEncoderLayer
      """
    ),
    (
      .bare, "torch.nn.modules.upsampling",
      "Upsample UpsamplingBilinear2d UpsamplingNearest2d"
    ),
  ]
}
