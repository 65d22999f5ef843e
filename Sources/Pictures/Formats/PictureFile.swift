import ModelFormats
import OrderedJSON

/// A picture with the texts that go with it, as files of any format hold them.
public struct PictureFile: Sendable, Hashable {
  /// What a picture was made with.
  public struct Metadata: Sendable, Hashable {
    /// As web UIs write it: PNG's text `parameters`, the comment of EXIF in JPEG and WebP.
    public var parameters: String?
    /// As this program reads it back: PNG's text `sdloom`, the maker's note of EXIF.
    public var job: String?

    public init(parameters: String? = nil, job: String? = nil) {
      self.parameters = parameters
      self.job = job
    }

    var isEmpty: Bool { parameters == nil && job == nil }
  }

  /// The format that the content has.
  public let format: PictureFormat
  /// Turned upright where the file says how it was held.
  public let image: Image
  /// What the file says of how the image was made.
  public let metadata: Metadata
  /// What another program than a web UI says of that in a form of its own.
  public let foreign: ForeignRecord?
  /// Whether the pixels are those that were written.
  public let isExact: Bool
  /// What is wrong with a file of which there is a picture all the same, as its decoder says it.
  public let damage: String?

  /// How a picture is compressed.
  public struct Compression: Sendable, Hashable {
    /// The file format.
    public var format: PictureFormat
    /// 1 to 100; nil keeps every pixel of a WebP file, and is 95 for JPEG. PNG keeps all.
    public var quality: Int?

    public init(_ format: PictureFormat, quality: Int? = nil) {
      self.format = format
      self.quality = quality
    }

    /// Whether the file gives back the pixels that were written.
    public var isExact: Bool { format == .png || (format == .webp && quality == nil) }
  }

  /// Pixels that are read at most: as many as are drawn at most.
  static let pixelLimit = 1 << 26

  /// Reads a PNG, JPEG or WebP file, told by its content.
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
        .unrecognized, "this is neither a PNG nor a JPEG nor a WebP file", offset: 0,
        hint: "give a picture in one of these formats")
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
  /// Also read: what versions that were called sdkit wrote.
  private static let formerJobKeyword = "sdkit"

  /// The bytes of a file; the same picture, metadata and compression always give the same.
  ///
  /// - Throws: ``FormatError`` `unsupported` where the format cannot hold the picture or a text.
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

  /// Writes a picture to a new file.
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

  /// Refuses a picture larger than any that is drawn, or than its file can hold, before memory is
  /// taken for it.
  ///
  /// - Parameter pixelsPerByte: the most that one byte of the format can stand for.
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
        .unsupported, "a picture of \(width)x\(height) is larger than any that is read",
        hint: "give one of at most \(pixelLimit >> 20) megapixels")
    }
  }
}
