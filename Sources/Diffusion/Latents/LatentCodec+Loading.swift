import Checkpoint
import Engine
import ModelFormats
import ModelGraph

extension LatentCodec {
  /// The VAE of a checkpoint, without its other networks. Encoder and decoder are loaded when they
  /// are first used.
  ///
  /// - Parameters:
  ///   - checkpoint: a model, or a VAE alone.
  ///   - width: pixels of the pictures, for which the networks are prepared; likewise `height`.
  /// - Throws: ``FormatError`` if there is no VAE, a tensor of its decoder is missing, or its
  ///   configuration is not supported.
  package init(
    _ checkpoint: ModelCheckpoint, options: EngineOptions = EngineOptions(),
    engine: NetworkEngine = .native, width: Int, height: Int, tiling: VAETiling = .automatic
  ) throws {
    let component = try checkpoint.require(.vae)
    let vae = try Autoencoder(component)
    let side = DiffusionModel.downsampling
    try self.init(
      component, vae, NetworkFactory(engine, options), height: height / side, width: width / side,
      tiling: tiling, parameters: { try component.tensor(named: $0) })
  }

  /// The VAE of a component, with its networks loaded when they are first used.
  ///
  /// - Parameters:
  ///   - height: of the latents for which the networks are prepared; likewise `width`.
  ///   - parameters: the decoder's tensors.
  /// - Throws: ``FormatError`` if a tensor of the decoder is missing.
  init(
    _ component: Component, _ vae: Autoencoder, _ factory: NetworkFactory, height: Int, width: Int,
    tiling: VAETiling, parameters: @escaping @Sendable (String) throws -> Tensor
  ) throws {
    let sizes = Self.sizes(height: height, width: width, tiling)
    for parameter in vae.decoderGraph.parameters { _ = try parameters(parameter.name) }
    self.init(
      component, vae, sizes, factory, tiling,
      decoder: LazyNetwork {
        try vae.decoder(factory.network(vae.decoderGraph, sizes: sizes, parameters: parameters))
      })
  }

  /// The VAE of a component with its decoder loaded.
  ///
  /// - Parameters: as ``init(_:_:_:height:width:tiling:parameters:)``.
  /// - Throws: ``FormatError``; ``EngineError``.
  init(
    loading component: Component, _ vae: Autoencoder, _ factory: NetworkFactory, height: Int,
    width: Int, tiling: VAETiling, parameters: (String) throws -> Tensor,
    progress: @escaping (Int, Int) -> Void
  ) throws {
    let sizes = Self.sizes(height: height, width: width, tiling)
    let decoder = try factory.network(
      vae.decoderGraph, sizes: sizes, parameters: parameters, progress: progress)
    self.init(component, vae, sizes, factory, tiling, decoder: vae.decoder(decoder))
  }

  private init(
    _ component: Component, _ vae: Autoencoder, _ sizes: Sizes, _ factory: NetworkFactory,
    _ tiling: VAETiling, decoder: any Network
  ) {
    self.init(
      decoder: decoder,
      encoder: vae.isTiny
        ? nil
        : LazyNetwork {
          try factory.network(
            component.graph(.vaeEncoder), sizes: sizes,
            parameters: { try component.tensor(named: $0) })
        },
      latentChannels: vae.latentChannels,
      scale: LatentScale(factor: Float(vae.scalingFactor), shift: Float(vae.shiftFactor)),
      tiling: tiling)
  }

  /// The sizes of one picture, or of one tile of a large one.
  private static func sizes(height: Int, width: Int, _ tiling: VAETiling) -> Sizes {
    Sizes(batch: 1, height: tiling.tileLength(height), width: tiling.tileLength(width), sequence: 1)
  }
}
