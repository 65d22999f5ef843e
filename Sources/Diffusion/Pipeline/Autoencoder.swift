import Checkpoint
import Engine
import ModelFormats
import ModelGraph

/// The autoencoder of a checkpoint: a full one or a tiny one.
struct Autoencoder {
  let decoderGraph: Graph
  let latentChannels: Int
  let scalingFactor: Double
  let shiftFactor: Double
  let isTiny: Bool

  /// - Throws: ``FormatError`` if it has no decoder or its configuration is not supported.
  init(_ component: Component) throws(FormatError) {
    isTiny = component.network == .tinyAutoencoder
    if isTiny {
      let tiny = try DiffusionModel.configuration(
        of: component, TinyAutoencoderConfiguration.init)
      decoderGraph = try component.graph(.tinyDecoder)
      (latentChannels, scalingFactor) = (tiny.latentChannels, tiny.scalingFactor)
      shiftFactor = tiny.shiftFactor
    } else {
      let vae = try DiffusionModel.configuration(of: component, VAEConfiguration.init)
      decoderGraph = try component.graph(.vaeDecoder)
      (latentChannels, scalingFactor) = (vae.latentChannels, vae.scalingFactor)
      shiftFactor = vae.shiftFactor
    }
  }

  /// The decoder with its image in -1...1.
  func decoder(_ network: any Network) -> any Network {
    isTiny ? SignedPictures(network: network) : network
  }
}
