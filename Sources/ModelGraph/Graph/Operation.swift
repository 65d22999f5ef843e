/// The operation of a node, in terms of networks.
///
/// Images are `[batch, channels, height, width]` and token sequences `[batch, tokens, channels]` in
/// every shape of the graph; an engine may choose any memory layout.
public enum Operation: Sendable, Hashable {
  /// A two-dimensional convolution. Weight `[out, in, kernel, kernel]`, bias `[out]` or none.
  case convolution(Convolution)
  /// `x * weight^T + bias` on the last axis. Weight `[out, in]`, bias `[out]` or none.
  case linear
  /// Normalization over groups of channels and all positions, scaled per channel; then SiLU on
  /// request. Weight and bias `[channels]`.
  case groupNorm(GroupNorm)
  /// Normalization over the last axis. Weight and bias `[channels]`.
  case layerNorm(epsilon: Double)
  /// `softmax(q * k^T * scale) * v` for each head. Inputs `q [batch, n, channels]`,
  /// `k` and `v [batch, m, channels]`; channels are split into heads in order.
  case attention(Attention)
  /// A function of each element.
  case activation(Activation)
  /// The last axis is split in two halves `a` and `b`; the result is `a * gelu(b)` (exact GELU).
  case geglu
  /// The sum of two values with the same shape.
  case add
  /// An image `[batch, channels, height, width]` plus `[1, channels]` at every position.
  case addPerChannel
  /// Two images concatenated along their channels.
  case concatenate
  /// Each pixel becomes a square of four; the last row or column is dropped if the output's
  /// declared height or width is odd.
  case upsampleNearest
  /// Integer indices `[batch, n]` become rows of the weight `[rows, channels]`.
  case embedding
  /// Row `i` of the weight `[rows, channels]` is added to token `i`.
  case addPositions
  /// A timestep `[1]` becomes sines and cosines `[1, channels]`.
  case timestepEmbedding(TimestepEmbedding)
  /// `[batch, channels, height, width]` becomes `[batch, height * width, channels]`.
  case imageToTokens
  /// The inverse, with the output's declared height and width.
  case tokensToImage
  /// The weight `[channels]` becomes the first token of each sample, before the others.
  case prependToken
  /// The first token of each sample: `[batch, n, channels]` becomes `[batch, channels]`.
  case firstToken
  /// Matches similar tokens of an image: `[batch, tokens, channels]` and a timestep `[1]`, which
  /// selects the tokens to compare with, become the place `[batch, tokens]` of each token among
  /// those left after merging.
  case matchTokens(TokenMatching)
  /// The means of the tokens of each place: tokens `[batch, n, channels]` and places `[batch, n]`
  /// become `[batch, left, channels]`.
  case mergeTokens
  /// The inverse plus a residual: `[batch, left, channels]`, a residual `[batch, n, channels]` and
  /// places `[batch, n]` become the residual plus each place's token.
  case unmergeTokens

  /// The operation's name in tables.
  public var kind: String {
    switch self {
    case .convolution: "convolution"
    case .linear: "linear"
    case .groupNorm: "group_norm"
    case .layerNorm: "layer_norm"
    case .attention: "attention"
    case .activation(let function): function.rawValue
    case .geglu: "geglu"
    case .add: "add"
    case .addPerChannel: "add_per_channel"
    case .concatenate: "concatenate"
    case .upsampleNearest: "upsample_nearest"
    case .embedding: "embedding"
    case .addPositions: "add_positions"
    case .timestepEmbedding: "timestep_embedding"
    case .imageToTokens: "image_to_tokens"
    case .tokensToImage: "tokens_to_image"
    case .prependToken: "prepend_token"
    case .firstToken: "first_token"
    case .matchTokens: "match_tokens"
    case .mergeTokens: "merge_tokens"
    case .unmergeTokens: "unmerge_tokens"
    }
  }
}

/// The form of a convolution; kernel and stride are the same in both directions.
public struct Convolution: Sendable, Hashable {
  /// Zeros added on each side of the image.
  public struct Padding: Sendable, Hashable {
    /// Rows of zeros above.
    public let top: Int
    /// Columns of zeros on the left.
    public let left: Int
    /// Rows of zeros below.
    public let bottom: Int
    /// Columns of zeros on the right.
    public let right: Int

    /// The same on all four sides.
    public static func all(_ size: Int) -> Padding {
      Padding(top: size, left: size, bottom: size, right: size)
    }
    /// Below and to the right only, for downsampling in the VAE encoder.
    public static let bottomRight = Padding(top: 0, left: 0, bottom: 1, right: 1)
  }

  /// Input channels.
  public let inputChannels: Int
  /// Output channels.
  public let outputChannels: Int
  /// Rows and columns of the kernel.
  public let kernel: Int
  /// Rows and columns from one position to the next.
  public let stride: Int
  /// Zeros around the input.
  public let padding: Padding
}

/// Groups and epsilon of a group norm, and whether SiLU follows.
public struct GroupNorm: Sendable, Hashable {
  /// The number of groups, which divides the channels.
  public let groups: Int
  /// Added to variances.
  public let epsilon: Double
  /// Whether SiLU follows.
  public let silu: Bool
}

/// The image whose tokens are matched, and the number of tokens left.
public struct TokenMatching: Sendable, Hashable {
  /// Rows of the grid of tokens.
  public let height: Dimension
  /// Columns of the grid of tokens.
  public let width: Dimension
  /// The number of tokens after merging.
  public let left: Dimension
}

/// The head layout of an attention.
public struct Attention: Sendable, Hashable {
  /// The number of heads, which divides the channels.
  public let heads: Int
  /// Whether token `i` sees only tokens up to `i`.
  public let causal: Bool
  /// The factor of the products of queries and keys: `1 / sqrt(channels / heads)`.
  public let scale: Double
  /// Whether products and softmax must be computed in F32 in every precision, as in SD 2.1.
  public let upcast: Bool
}

/// Functions of one element.
public enum Activation: String, Sendable, Hashable {
  case silu
  /// The exact form, with the error function.
  case gelu
  /// `x * sigmoid(1.702 x)`, as CLIP has it.
  case quickGELU = "quick_gelu"
  /// `max(x, 0)`.
  case relu
  /// `3 tanh(x / 3)`, which limits the latents of a tiny autoencoder.
  case latentClamp = "latent_clamp"
}

/// Sinusoidal embedding of a timestep.
///
/// Source: diffusers' `get_timestep_embedding`. Frequency `i` of `channels / 2` is
/// `exp(-ln(10000) * i / (channels / 2 - frequencyShift))`.
public struct TimestepEmbedding: Sendable, Hashable {
  /// Sines and cosines together.
  public let channels: Int
  /// Cosines before sines.
  public let flipSinToCos: Bool
  /// Subtracted from the number of frequencies, as diffusers' `freq_shift`.
  public let frequencyShift: Double
}
