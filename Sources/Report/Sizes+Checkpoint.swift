import Checkpoint
import ModelGraph

extension Sizes {
  /// The sizes that the checkpoint's UNet was trained at; 64 where that is not known.
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
