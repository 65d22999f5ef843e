extension Image {
  /// The image at another size, by Lanczos' kernel of three lobes, widened where it shrinks.
  ///
  /// Equal in every pixel to Pillow's `Image.resize` with `LANCZOS`, which diffusers brings images
  /// to their size with. Source: Duchon, "Lanczos Filtering in One and Two Dimensions" (1979).
  public func resized(width newWidth: Int, height newHeight: Int) -> Image {
    resampled(width: newWidth, height: newHeight, filter: .lanczos)
  }
}
