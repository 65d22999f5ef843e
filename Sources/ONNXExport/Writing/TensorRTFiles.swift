import ModelFormats
import ModelGraph
import OrderedJSON

/// The files that accompany a model to the TensorRT machine: a script that builds the engine, and a
/// text that describes the model and lists the same commands.
struct TensorRTFiles {
  let model: ONNXModel
  let precision: ExportOptions.Precision
  let profile: EngineProfile
  /// The model's file name, and what files beside it are called after: nothing for `model.onnx`.
  let modelFile: String
  private let suffix: String
  let engineFile: String

  init(
    _ model: ONNXModel, of graph: Graph, at path: String, options: ExportOptions,
    interface: Interface, nativeSize: Int
  ) throws(FormatError) {
    self.model = model
    precision = options.precision(of: graph)
    profile = EngineProfile(
      try options.fixed(graph, interface), interface, nativeSize: nativeSize)
    modelFile = path.split(separator: "/").last.map(String.init) ?? path
    suffix = modelFile == "model.onnx" ? "" : "-\(graph.name)"
    let name = modelFile.hasSuffix(".onnx") ? String(modelFile.dropLast(5)) : modelFile
    engineFile =
      options.names == .comfy
      ? TensorRTFiles.comfyFile(profile, options.sizes) : "\(name).plan"
  }

  var scriptFile: String { "build-engine\(suffix).sh" }
  var textFile: String { "README-tensorrt\(suffix).md" }

  /// ComfyUI shows engines by file name, which contains the batch size's and the image size's
  /// minimum, maximum and optimum.
  private static func comfyFile(_ profile: EngineProfile, _ fixed: Sizes?) -> String {
    if let fixed {
      return "unet_$stat-b-\(fixed.batch)-h-\(8 * fixed.height)-w-\(8 * fixed.width)_00001_.engine"
    }
    let order = [0, 2, 1].map { profile.sizes[$0] }
    func list(_ size: (Sizes) -> Int) -> String {
      order.map { String(size($0)) }.joined(separator: "-")
    }
    return "unet_$dyn-b-\(list(\.batch))-h-\(list { 8 * $0.height })-w-\(list { 8 * $0.width })"
      + "_00001_.engine"
  }
}

extension TensorRTFiles {
  /// A script for bash.
  var script: String {
    """
    #!/usr/bin/env bash
    # Builds the TensorRT engine of \(modelFile), on the machine and with the TensorRT that will run it:
    # with trtexec, or with polygraphy where there is no trtexec. \(textFile) says more.
    #
    #   REFIT=1           an engine whose weights can be replaced by name
    #   LEVEL=5           how long to look for fast kernels, 0 to 5 (TensorRT's default: 3)
    #   ENGINE=FILE       what to write (\(engineFile.replacing("$", with: "\\$")))
    #   TIMING_CACHE=FILE measurements to start from and to add to (timing.cache)
    #   TRTEXEC=COMMAND   another trtexec, such as TensorRT-RTX's tensorrt_rtx
    set -euo pipefail
    from=$PWD
    unset CDPATH
    cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
    # What the caller names lies where the caller is.
    given() { case $1 in /*) echo "$1" ;; *) echo "$from/$1" ;; esac; }

    model="\(modelFile)"
    min="\(profile.trtexec(0))"
    opt="\(profile.trtexec(1))"
    max="\(profile.trtexec(2))"
    engine='\(engineFile)'
    cache=timing.cache
    trtexec=${TRTEXEC:-trtexec}
    if [[ -n ${ENGINE:-} ]]; then engine=$(given "$ENGINE"); fi
    if [[ -n ${TIMING_CACHE:-} ]]; then cache=$(given "$TIMING_CACHE"); fi
    if [[ $trtexec == */* ]]; then trtexec=$(given "$trtexec"); fi

    if command -v "$trtexec" >/dev/null; then
      help=$("$trtexec" --help 2>&1 || true)
      arguments=(--onnx="$model" --saveEngine="$engine")
      # TensorRT-RTX measures nothing while it builds, and keeps no cache.
      for option in "--timingCacheFile=$cache" --skipInference; do
        if [[ $help == *"${option%%=*}"* ]]; then arguments+=("$option"); fi
      done
      # TensorRT 11 knows no other typing.
      if [[ $help == *--stronglyTyped* ]]; then arguments+=(--stronglyTyped)\(leaveForHalf); fi
      if [[ -n $min ]]; then
        arguments+=(--minShapes="$min" --optShapes="$opt" --maxShapes="$max")
      fi
      if [[ -n ${REFIT:-} ]]; then arguments+=(--refit); fi
      if [[ -n ${LEVEL:-} ]]; then arguments+=(--builderOptimizationLevel="$LEVEL"); fi
      "$trtexec" "${arguments[@]}"
    elif command -v polygraphy >/dev/null; then
      # name:1x2,other:3 as name:[1,2] other:[3]
      shapes() { tr , '\\n' <<<"$1" | sed 's/x\\([0-9]\\)/,\\1/g; s/:\\(.*\\)/:[\\1]/'; }
      arguments=(convert "$model" --convert-to trt --output "$engine" --strongly-typed)
      if [[ -n $min ]]; then
        mapfile -t min < <(shapes "$min")
        mapfile -t opt < <(shapes "$opt")
        mapfile -t max < <(shapes "$max")
        arguments+=(--trt-min-shapes "${min[@]}" --trt-opt-shapes "${opt[@]}")
        arguments+=(--trt-max-shapes "${max[@]}")
      fi
      if [[ -e $cache ]]; then arguments+=(--load-timing-cache "$cache"); fi
      arguments+=(--save-timing-cache "$cache")
      if [[ -n ${REFIT:-} ]]; then arguments+=(--refittable); fi
      if [[ -n ${LEVEL:-} ]]; then arguments+=(--builder-optimization-level "$LEVEL"); fi
      polygraphy "${arguments[@]}"
    else
      echo "error: neither $trtexec nor polygraphy is on the PATH" >&2
      echo "hint: install TensorRT, or: pip install tensorrt polygraphy" >&2
      exit 1
    fi
    echo "built $engine"

    """
  }

  /// Before TensorRT 9 there was no strong typing, only permission to use F16.
  private var leaveForHalf: String {
    precision == .f16 ? "\n  elif [[ $help == *--fp16* ]]; then arguments+=(--fp16)" : ""
  }

  /// A text in Markdown.
  var text: String {
    let inputs = model.inputs.map { "| `\($0.name)` | \(describe($0)) |" }
    let outputs = model.outputs.map { "| `\($0.name)` | \(describe($0)) |" }
    let isFixed = profile.inputs.isEmpty
    let shapes: (Int) -> String = { isFixed ? "" : profile.trtexec($0) }
    let trtexecShapes =
      isFixed
      ? ""
      : " \\\n      --minShapes=\(shapes(0)) \\\n      --optShapes=\(shapes(1)) \\\n"
        + "      --maxShapes=\(shapes(2))"
    let polygraphyShapes =
      isFixed
      ? ""
      : " \\\n      --trt-min-shapes \(profile.polygraphy(0)) \\\n"
        + "      --trt-opt-shapes \(profile.polygraphy(1)) \\\n"
        + "      --trt-max-shapes \(profile.polygraphy(2))"
    let engine = engineFile.contains("$") ? "'\(engineFile)'" : engineFile
    return """
      # \(model.graphName): from ONNX to a TensorRT engine

      `\(modelFile)` is an ONNX model of opset \(model.opset), \(precision == .f16 ? "F16" : "F32"), of \(model.nodes.count) nodes, \
      made by \(model.producerName) \(model.producerVersion).

      | input | |
      | --- | --- |
      \(inputs.joined(separator: "\n"))

      | output | |
      | --- | --- |
      \(outputs.joined(separator: "\n"))

      An engine runs on the kind of GPU and with the version of TensorRT that it was built with. So run
      `./\(scriptFile)` where the engine is to be used, or one of these:

          trtexec --onnx=\(modelFile) --saveEngine=\(engine) --stronglyTyped --skipInference \\
            --timingCacheFile=timing.cache\(trtexecShapes)

          polygraphy convert \(modelFile) --convert-to trt --output \(engine) --strongly-typed \\
            --save-timing-cache timing.cache\(polygraphyShapes)

      - **Types.** The model says the type of each value, and the engine keeps to it (`--stronglyTyped`; TensorRT 11
        knows nothing else and needs no option).
        \(typesNote)
      \(profileNote(isFixed))
      - **Timing cache.** `timing.cache` keeps what the builder measured; the next engine for the same GPU and
        version is built faster from it. It is safe to delete.
      - **Refit.** With `--refit` (trtexec), `--refittable` (polygraphy) or `REFIT=1` (the script), weights of the
        engine can be replaced later. Their names are those of the checkpoint's tensors.

      """
  }

  private var typesNote: String {
    precision == .f16
      ? "Means and variances of norms and the timestep's sines are F32."
      : "An F32 engine uses TF32 on GPUs that have it, unless `--noTF32` is given."
  }

  private func profileNote(_ isFixed: Bool) -> String {
    guard !isFixed else {
      return "- **Shapes.** All are fixed, so that the engine needs no profile."
    }
    let pixels = profile.sizes.map { 8 * $0.height }
    let batches = profile.sizes.map(\.batch)
    let picture = "pictures of \(pixels[0]) to \(pixels[2]) pixels a side, best at \(pixels[1])"
    return
      "- **Shapes.** The engine takes batches of \(batches[0]) to \(batches[2]), best at \(batches[1])"
      + (profile.hasDynamicSides ? ", and \(picture).\n" : ".\n")
      + "  Narrower ranges make faster engines; change all three shapes together."
  }

  private func describe(_ value: ONNXModel.Value) -> String {
    let type =
      switch value.element {
      case .float16: "F16"
      case .int32: "I32"
      case .int64: "I64"
      default: "F32"
      }
    guard !value.shape.isEmpty else { return "\(type), a scalar" }
    let sizes = value.shape.map { extent in
      switch extent {
      case .fixed(let size): String(size)
      case .named(let name): "`\(name)`"
      case .unknown: "?"
      }
    }
    return "\(type) [\(sizes.joined(separator: ", "))]"
  }
}
