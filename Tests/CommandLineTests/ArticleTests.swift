import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// The commands of docs/article.md, and what the page says that they print.
@Suite(.serialized) struct ArticleTests {
  @Test func everyCommandRuns() throws {
    let page = try PageCommands("docs/article.md")
    #expect(page.lines.count > 20)
    try withTemporaryFolder { folder in
      try PublishedShapes.write(to: folder + "/stable-diffusion-v1-5")
      let result = try page.run(in: folder)
      #expect(result.status == 0, "\(result.errors)")
      #expect(page.reached(result) == page.lines.count, "\(result.errors)")
      for words in [
        // Counts, as in Hugging Face's num_parameters(); sums of the shell.
        "123,060,480", "859,520,964", "83,653,863", "\n123058944\n", "\n123060480\n",
        "\n144 324 469\n", "\n63165952\n",
        // A pointer of Git LFS.
        "status 65",
      ] {
        #expect(result.output.contains(words), "\(words): \(result.output)")
      }
      for file in ["report.html", "schedule.svg", "steps.png", "circle.png", "pndm.png"] {
        #expect(FileManager.default.fileExists(atPath: "\(folder)/\(file)"), "\(file)")
      }
    }
  }

  /// Its links and pictures are there.
  @Test func everyLinkLeadsSomewhere() throws {
    let page = try PageCommands("docs/article.md")
    #expect(try page.links().count > 10)
    #expect(try page.brokenLinks() == [])
  }
}

/// A repository with the shapes of the published Stable Diffusion v1.5. Of each tensor only the first
/// and the last value are not zero: the files are sparse, so that they take little space.
enum PublishedShapes {
  static func write(to folder: String) throws {
    let files = FileManager.default
    try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for name in ["tokenizer", "scheduler", "model_index.json"] {
      try files.copyItem(
        atPath: Fixtures.path("shapes-v2/\(name)"), toPath: "\(folder)/\(name)")
    }
    let text = try configuration(
      "text_encoder",
      [
        "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
        "num_hidden_layers": 12,
      ], in: folder)
    try write(
      CLIPText.graph(CLIPTextConfiguration(parsing: text)).parameters,
      to: folder + "/text_encoder/model.safetensors")
    let unet = try configuration(
      "unet",
      [
        "block_out_channels": [320, 640, 1280, 1280], "cross_attention_dim": 768,
        "attention_head_dim": 8, "layers_per_block": 2, "norm_num_groups": 32, "sample_size": 64,
      ], in: folder)
    try write(
      UNet.graph(UNetConfiguration(parsing: unet)).parameters,
      to: folder + "/unet/diffusion_pytorch_model.safetensors")
    let vae = try configuration(
      "vae",
      [
        "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "norm_num_groups": 32,
        "scaling_factor": 0.18215, "sample_size": 512,
      ], in: folder)
    let autoencoder = try VAEConfiguration(parsing: vae)
    try write(
      VAE.encoder(autoencoder).parameters + VAE.decoder(autoencoder).parameters,
      to: folder + "/vae/diffusion_pytorch_model.safetensors")
  }

  /// The bundled model's configuration with other values, written and returned.
  private static func configuration(
    _ network: String, _ values: KeyValuePairs<String, JSON>, in folder: String
  ) throws -> String {
    var object = try #require(
      JSON(parsing: Fixtures.text("shapes-v2/\(network)/config.json")).object)
    for (key, value) in values { object[key] = value }
    try FileManager.default.createDirectory(
      atPath: "\(folder)/\(network)", withIntermediateDirectories: true)
    let text = JSON.object(object).text()
    try Data(text.utf8).write(to: URL(filePath: "\(folder)/\(network)/config.json"))
    return text
  }

  private static func write(_ parameters: [Parameter], to path: String) throws {
    var header = JSONObject()
    var end = 0
    for parameter in parameters {
      let start = end
      end += 4 * parameter.shape.reduce(1, *)
      header[parameter.name] = [
        "dtype": "F32", "shape": .array(parameter.shape.map { .integer($0) }),
        "data_offsets": [.integer(start), .integer(end)],
      ]
    }
    var text = Array(JSON.object(header).text(.compact).utf8)
    text += [UInt8](repeating: 0x20, count: (8 - text.count % 8) % 8)
    let length = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) }
    try Data(length + text).write(to: URL(filePath: path))
    let file = try FileHandle(forWritingTo: URL(filePath: path))
    var place = 8 + text.count
    for parameter in parameters {
      let count = parameter.shape.reduce(1, *)
      for index in [0, count - 1] {
        try file.seek(toOffset: UInt64(place + 4 * index))
        try file.write(contentsOf: [0, 0, 0x80, 0x3F])
      }
      place += 4 * count
    }
    try file.close()
  }
}
