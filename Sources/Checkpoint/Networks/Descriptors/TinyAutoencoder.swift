import ModelGraph
import OrderedJSON

extension NetworkDescriptor {
  /// A tiny autoencoder, as TAESD.
  public static let tinyAutoencoder = NetworkDescriptor(
    className: "AutoencoderTiny", component: .tinyAutoencoder, title: "tiny autoencoder",
    graphNames: [.tinyDecoder, .tinyEncoder],
    marks: [
      ["decoder.layers.0.weight", "decoder.layers.2.conv.0.weight"],
      ["encoder.layers.0.weight", "encoder.layers.1.conv.0.weight"],
      ["decoder.1.weight", "decoder.3.conv.0.weight"],
      ["encoder.0.weight", "encoder.1.conv.0.weight"],
      ["1.weight", "3.conv.0.weight", "19.weight"],
      ["0.weight", "1.conv.0.weight", "14.weight"],
    ],
    // The older spelling is of files that hold one half alone.
    namings: [.published] + spelled(.singleFile, ""),
    inferred: ConfigurationInference.tinyAutoencoder
  ) { object throws(GraphError) in
    let configuration = try TinyAutoencoderConfiguration(object)
    // Files may hold one half alone; then the configuration was inferred and says which.
    let half = object[ConfigurationInference.half]?.string
    return (half == "decoder" ? [] : [try TinyAutoencoder.encoder(configuration)])
      + (half == "encoder" ? [] : [try TinyAutoencoder.decoder(configuration)])
  }
}

extension ConfigurationInference {
  /// Counts the blocks between the convolutions that change the size.
  static func tinyAutoencoder(_ shapes: TensorShapes) -> JSONObject? {
    func blocks(_ roots: [String], first: Int) -> (counts: [Int], latent: [Int], width: Int)? {
      guard
        let root = roots.first(where: { shapes("\($0)\(first).weight", rank: 4) != nil }),
        let entry = shapes("\(root)\(first).weight", rank: 4)
      else { return nil }
      var counts = [0]
      var latest = entry
      // Functions without weights, and what enlarges, stand between.
      var gap = 0
      for place in (first + 1)..<256 where gap < 3 {
        gap += 1
        if shapes.contains("\(root)\(place).conv.0.weight") {
          counts[counts.count - 1] += 1
          gap = 0
        } else if let shape = shapes("\(root)\(place).weight", rank: 4) {
          counts.append(0)
          latest = shape
          gap = 0
        }
      }
      // The last convolution ends the last level.
      guard counts.last == 0, counts.count == 5 else { return nil }
      return (counts.dropLast(), [entry[1], latest[0]], entry[0])
    }
    // A decoder begins behind its clamp where the original code names its places.
    let isHalf = shapes.contains("1.weight") || shapes.contains("0.weight")
    let encoder = blocks(["encoder.layers.", "encoder."] + (isHalf ? [""] : []), first: 0)
    let decoder =
      blocks(["decoder.layers."], first: 0)
      ?? blocks(["decoder."] + (isHalf && encoder == nil ? [""] : []), first: 1)
    guard let width = encoder?.width ?? decoder?.width,
      let latent = decoder?.latent[0] ?? encoder?.latent[1]
    else { return nil }
    let widths: JSON = .array(Array(repeating: .integer(width), count: 4))
    var object: JSONObject = [
      "_class_name": .string(NetworkDescriptor.tinyAutoencoder.className), "act_fn": "relu",
      "decoder_block_out_channels": widths, "encoder_block_out_channels": widths,
      "in_channels": 3, "latent_channels": .integer(latent), "out_channels": 3,
      "scaling_factor": 1.0, "upsampling_scaling_factor": 2,
    ]
    if let encoder { object["num_encoder_blocks"] = .array(encoder.counts.map { .integer($0) }) }
    if let decoder { object["num_decoder_blocks"] = .array(decoder.counts.map { .integer($0) }) }
    if encoder == nil { object[half] = "decoder" }
    if decoder == nil { object[half] = "encoder" }
    return object
  }
}
