import ModelFormats
import OrderedJSON

/// An image with its metadata, from a file of any supported format.
public struct PictureFile: Sendable, Hashable {
  /// The generation metadata of an image.
  public struct Metadata: Sendable, Hashable {
    /// The infotext of web UIs: PNG text `parameters`, EXIF comment in JPEG and WebP.
    public var parameters: String?
    /// sdgen's own metadata: PNG text `sdloom`, EXIF maker note.
    public var job: String?

    public init(parameters: String? = nil, job: String? = nil) {
      self.parameters = parameters
      self.job = job
    }

    var isEmpty: Bool { parameters == nil && job == nil }
  }

  /// The format of the content.
  public let format: PictureFormat
  /// The image, rotated by the file's orientation.
  public let image: Image
  /// The generation metadata in the file.
  public let metadata: Metadata
  /// Generation metadata in another program's own form.
  package let foreign: ForeignRecord?
  /// Whether the pixels are the original ones (lossless).
  public let isExact: Bool
  /// The damage of a file that can still be decoded, in the decoder's words.
  public let damage: String?

  /// How an image is compressed.
  public struct Compression: Sendable, Hashable {
    /// The file format.
    public var format: PictureFormat
    /// 1 to 100; nil means lossless for WebP and 95 for JPEG. PNG is always lossless.
    public var quality: Int?

    public init(_ format: PictureFormat, quality: Int? = nil) {
      self.format = format
      self.quality = quality
    }

    /// Whether the compression is lossless.
    public var isExact: Bool { format == .png || (format == .webp && quality == nil) }
  }

  /// The maximum number of pixels to read, the same as to generate.
  static let pixelLimit = 1 << 26

  /// Reads a PNG, JPEG or WebP file, detected from its content.
  ///
  /// - Throws: ``FormatError`` `notFound`, `unrecognized`, `truncated`, `malformed`, `unsupported`.
  public static func read(_ path: String) throws(FormatError) -> PictureFile {
    let file = try MappedFile(path: path)
    let bytes = file.withBytes(in: 0..<file.count) { Array($0) }
    do throws(FormatError) {
      return try PictureFile(decoding: bytes)
    } catch {
      throw error.inFile(path)
    }
  }

  /// - Throws: ``FormatError`` as ``read(_:)``.
  public init(decoding bytes: [UInt8]) throws(FormatError) {
    guard let format = PictureFormat(content: bytes) else {
      throw FormatError(
        .unrecognized, "not a PNG, JPEG or WebP file", offset: 0,
        hint: "pass an image in one of these formats")
    }
    self.format = format
    switch format {
    case .png:
      let picture = try PNG.decode(bytes)
      let exif = picture.exif.map(EXIF.init(parsing:))
      func text(_ keyword: String) -> String? {
        picture.texts.first { $0.keyword == keyword }?.text
      }
      image = picture.image.upright(from: exif?.orientation)
      isExact = true
      damage = nil
      metadata = Metadata(
        parameters: text(Self.parametersKeyword) ?? exif?.comment,
        job: text(Self.jobKeyword) ?? text(Self.formerJobKeyword))
      foreign = ForeignRecord(texts: picture.texts)
    case .jpeg:
      let picture = try JPEG.decode(bytes)
      let exif = picture.exif.map(EXIF.init(parsing:))
      image = picture.image.upright(from: exif?.orientation)
      isExact = false
      damage = picture.damage
      foreign = nil
      metadata = Metadata(parameters: exif?.comment, job: exif?.makerNote)
    case .webp:
      let picture = try WebP.decode(bytes)
      let exif = picture.exif.map(EXIF.init(parsing:))
      image = picture.image.upright(from: exif?.orientation)
      isExact = picture.isLossless
      damage = nil
      foreign = nil
      metadata = Metadata(parameters: exif?.comment, job: exif?.makerNote)
    }
  }

  private static let parametersKeyword = "parameters"
  private static let jobKeyword = "sdloom"
  /// The keyword of versions that were called sdkit, which is also read.
  private static let formerJobKeyword = "sdkit"

  /// The bytes of a file; deterministic for an image, metadata and compression.
  ///
  /// - Throws: ``FormatError`` `unsupported` if the format does not support the image or a text.
  public static func encode(
    _ image: Image, _ metadata: Metadata = Metadata(), as compression: Compression
  ) throws(FormatError) -> [UInt8] {
    let exif =
      metadata.isEmpty
      ? nil : EXIF(comment: metadata.parameters, makerNote: metadata.job).bytes()
    switch compression.format {
    case .png:
      let texts = [(parametersKeyword, metadata.parameters), (jobKeyword, metadata.job)]
        .compactMap { keyword, text in text.map { PNG.Text(keyword: keyword, text: $0) } }
      return try PNG.encode(image, texts: texts)
    case .jpeg:
      return try JPEG.encode(image, quality: compression.quality ?? 95, exif: exif)
    case .webp:
      return try WebP.encode(image, quality: compression.quality, exif: exif)
    }
  }

  /// Writes an image to a new file.
  ///
  /// - Throws: ``FormatError`` as ``ModelFormats/FileWriter`` and ``encode(_:_:as:)``.
  public static func write(
    _ image: Image, _ metadata: Metadata = Metadata(), as compression: Compression,
    to path: String, overwrite: Bool = false
  ) throws(FormatError) {
    let bytes: [UInt8]
    do throws(FormatError) {
      bytes = try encode(image, metadata, as: compression)
    } catch {
      throw error.inFile(path)
    }
    let writer = try FileWriter(path: path, overwrite: overwrite)
    try writer.write(bytes)
    try writer.commit()
  }

  /// Rejects an image beyond the size limit, or larger than its file can contain, before allocating
  /// memory.
  ///
  /// - Parameter pixelsPerByte: the maximum number of pixels per byte of the format.
  static func check(
    width: Int, height: Int, byteCount: Int, pixelsPerByte: Int
  ) throws(FormatError) {
    let (pixels, overflow) = width.multipliedReportingOverflow(by: height)
    guard width > 0, height > 0, !overflow, pixels / pixelsPerByte <= byteCount else {
      throw FormatError(
        .malformed, "\(byteCount.of("byte")) cannot hold \(width)x\(height) pixels",
        hint: "get the file again")
    }
    guard pixels <= pixelLimit else {
      throw FormatError(
        .unsupported, "\(width)x\(height) exceeds the limit of \(pixelLimit >> 20) megapixels",
        hint: "use a smaller image")
    }
  }
}
