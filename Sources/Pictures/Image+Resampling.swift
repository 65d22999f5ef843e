extension Image {
  /// The image at another size, with a Lanczos filter of three lobes, widened for downscaling.
  ///
  /// Equal in every pixel to Pillow's `Image.resize` with `LANCZOS`, which diffusers uses to resize
  /// images. Source: Duchon, "Lanczos Filtering in One and Two Dimensions" (1979).
  public func resized(width newWidth: Int, height newHeight: Int) -> Image {
    resampled(width: newWidth, height: newHeight, filter: .lanczos)
  }
}
