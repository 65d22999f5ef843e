import OrderedJSON
import TestSupport
import Testing

@Suite struct BenchTests {
  @Test(arguments: ["f32", "auto"])
  func everyNetworkIsTimed(dtype: String) throws {
    let result = try Tool.run(
      "sdgen", ["bench", "--repeats", "1", "--size", "64x128", "--dtype", dtype, "--json"])
    #expect(result.status == 0, "\(result.errors)")
    let report = try JSON(parsing: result.output)
    #expect(report["version"] == 1)
    #expect(report["width"] == 64)
    #expect(report["height"] == 128)
    #expect(["f32", "bf16"].contains(report["dtype"]?.string))
    if dtype == "f32" { #expect(report["dtype"] == "f32") }
    #expect((report["ceiling"]?["gflops"]?.double ?? 0) > 1)
    #expect((report["ceiling"]?["gb_per_second"]?.double ?? 0) > 0.1)
    #expect((report["load"]?.double ?? 0) > 0)
    #expect((report["peak_memory_bytes"]?.int ?? 0) > 1 << 20)
    let networks = try #require(report["networks"]?.array)
    #expect(
      networks.map { $0["name"]?.string } == ["text encoder", "UNet, guided step", "VAE decoder"])
    for network in networks {
      let operations = try #require(network["operations"]?.array)
      let seconds = operations.reduce(0) { $0 + ($1["seconds"]?.double ?? .infinity) }
      #expect(seconds > 0 && seconds <= (network["seconds"]?.double ?? 0) * 1.01)
      #expect(operations.contains { $0["operation"] == "linear" && ($0["macs"]?.int ?? 0) > 0 })
    }
  }

  @Test func theTableNamesTheLayers() throws {
    let result = try Tool.run("sdgen", ["bench", "--repeats", "1", "--size", "64x64"])
    #expect(result.status == 0, "\(result.errors)")
    for word in ["convolution", "attention", "GFLOP/s", "of ceiling", "peak memory"] {
      #expect(result.output.contains(word), "\(word)")
    }
  }

  @Test(arguments: [
    ["--size", "64"], ["--size", "64x60"], ["--size", "0x64"], ["--repeats", "0"],
    ["--repeats", "1001"],
  ])
  func badOptions(_ arguments: [String]) throws {
    let result = try Tool.run("sdgen", ["bench"] + arguments)
    #expect(result.status == 64)
    #expect(result.errors.contains(arguments[0]))
  }
}
