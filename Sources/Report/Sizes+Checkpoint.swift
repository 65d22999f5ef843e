import Checkpoint
import ModelGraph

extension Sizes {
  /// The training resolution of the checkpoint's UNet; 64 if unknown.
  public init(of checkpoint: ModelCheckpoint) {
    guard let object = checkpoint[.unet]?.configuration?.object,
      let configuration = try? UNetConfiguration(object)
    else {
      self.init()
      return
    }
    self.init(height: configuration.sampleSize, width: configuration.sampleSize)
  }
}
