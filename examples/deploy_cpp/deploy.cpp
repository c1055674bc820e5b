// A port's whole control step in C++: ONNX Runtime and nothing else.
//
// `deploy_cpp PORT` replays the port's stored sample as its self-test; it exits with 1 if a target differs, 2 if
// it can't be run.
// Take `DeployedPolicy` into your robot's program: signals by name in, joint targets out, reset at every start.
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

using Row = std::vector<double>;
using Rows = std::map<std::string, Row>;

class DeployedPolicy {
 public:
  explicit DeployedPolicy(const std::string& path) : session_(nullptr) {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    session_ = Ort::Session(env_, path.c_str(), options);
    for (size_t i = 0; i < session_.GetInputCount(); ++i) inputs_.push_back(described(i, true));
    for (size_t i = 0; i < session_.GetOutputCount(); ++i) outputs_.push_back(described(i, false).name);
    // "INPUT<tab>OUTPUT" of each state, a line each. All else that the graph says of itself is JSON under "deploy".
    auto text = session_.GetModelMetadata().LookupCustomMetadataMapAllocated("deploy_states", allocator_);
    if (!text) throw std::runtime_error(path + ": is no deploy.onnx of a port");
    std::istringstream lines(text.get());
    for (std::string in, out; std::getline(lines, in, '\t') && std::getline(lines, out);) states_[in] = out;
  }

  // Before the first step of every episode: every state to zeros.
  void reset() {
    held_.clear();
    for (const auto& input : inputs_)
      if (states_.count(input.name)) held_[input.name].assign(input.bytes(), 0);
  }

  // Joint targets in the order of the graph's joint_names, of signals by name.
  Row operator()(const Rows& signals) {
    if (held_.size() != states_.size()) throw std::runtime_error("call reset() before the first step");
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    std::vector<Ort::Value> given;
    std::vector<const char*> in, out;
    for (const auto& input : inputs_) {
      const bool state = states_.count(input.name) > 0;
      if (!state && (!signals.count(input.name) || signals.at(input.name).size() != input.numbers()))
        throw std::runtime_error(input.name + ": " + std::to_string(input.numbers()) + " numbers are read");
      if (!state) check(input.name, signals.at(input.name));
      void* data = state ? static_cast<void*>(held_[input.name].data())
                         : const_cast<double*>(signals.at(input.name).data());
      given.push_back(Ort::Value::CreateTensor(memory, data, input.bytes(), input.shape.data(), input.shape.size(), input.type));
      in.push_back(input.name.c_str());
    }
    for (const auto& name : outputs_) out.push_back(name.c_str());
    auto found = session_.Run(Ort::RunOptions{nullptr}, in.data(), given.data(), in.size(), out.data(), out.size());
    Row target;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const auto* data = static_cast<const char*>(found[i].GetTensorRawData());
      for (auto& [name, left] : states_)
        if (left == outputs_[i]) std::copy(data, data + held_[name].size(), held_[name].begin());
      if (outputs_[i] == "joint_target") {
        const auto* numbers = reinterpret_cast<const double*>(data);
        target.assign(numbers, numbers + found[i].GetTensorTypeAndShapeInfo().GetElementCount());
      }
    }
    for (double number : target)
      if (!std::isfinite(number)) throw std::runtime_error("a target is no number: a signal is none, or diverged");
    return target;
  }

 private:
  struct Described {
    std::string name;
    std::vector<int64_t> shape;
    ONNXTensorElementDataType type;
    size_t numbers() const {
      size_t count = 1;
      for (int64_t size : shape) count *= static_cast<size_t>(size);
      return count;
    }
    size_t bytes() const { return numbers() * (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE ? 8 : 4); }
  };

  static void check(const std::string& name, const Row& row) {
    double squares = 0.0;
    for (double number : row) {
      if (!std::isfinite(number)) throw std::runtime_error(name + ": has what is no number");
      squares += number * number;
    }
    if (name == "base_quat" && std::abs(std::sqrt(squares) - 1.0) > 1e-2)
      throw std::runtime_error(name + ": is no unit quaternion w, x, y, z");
  }

  Described described(size_t i, bool input) {
    auto name = input ? session_.GetInputNameAllocated(i, allocator_) : session_.GetOutputNameAllocated(i, allocator_);
    auto kind = input ? session_.GetInputTypeInfo(i) : session_.GetOutputTypeInfo(i);
    auto info = kind.GetTensorTypeAndShapeInfo();
    auto shape = info.GetShape();
    std::replace_if(shape.begin(), shape.end(), [](int64_t size) { return size < 0; }, 1);  // one robot
    return {name.get(), shape, info.GetElementType()};
  }

  Ort::Env env_{ORT_LOGGING_LEVEL_ERROR};
  Ort::AllocatorWithDefaultOptions allocator_;
  Ort::Session session_;
  std::vector<Described> inputs_;
  std::vector<std::string> outputs_;
  std::map<std::string, std::string> states_;
  std::map<std::string, std::vector<char>> held_;
};

int main(int count, char** words) try {
  if (count != 2) throw std::runtime_error("usage: deploy_cpp PORT");
  for (const std::string name : {"/deploy.onnx", "/deploy_sample.csv"})
    if (!std::ifstream(words[1] + name))
      throw std::runtime_error(words[1] + name + ": is missing; give the folder that policy-port export --deploy wrote");
  DeployedPolicy policy(std::string(words[1]) + "/deploy.onnx");
  std::ifstream file(std::string(words[1]) + "/deploy_sample.csv");
  std::vector<std::string> columns;
  std::string line, cell;
  std::getline(file, line);
  for (std::istringstream head(line); std::getline(head, cell, ',');) columns.push_back(cell.substr(0, cell.find('/')));
  double worst = 0.0;
  size_t steps = 0;
  for (; std::getline(file, line); ++steps) {
    Rows by;
    std::istringstream cells(line);
    for (const auto& column : columns) {
      if (!std::getline(cells, cell, ',')) throw std::runtime_error("deploy_sample.csv is cut short");
      by[column].push_back(std::strtod(cell.c_str(), nullptr));
    }
    if (by["reset"][0] != 0.0) policy.reset();
    const Row stored = by["joint_target"], told = policy(by);
    if (stored.size() != told.size()) throw std::runtime_error("deploy_sample.csv is another graph's");
    for (size_t i = 0; i < stored.size(); ++i) {
      if (!std::isfinite(stored[i])) throw std::runtime_error("deploy_sample.csv has a target that is no number");
      worst = std::max(worst, std::abs(told[i] - stored[i]));
    }
  }
  if (!steps) throw std::runtime_error("the port has no deploy_sample.csv");
  std::printf("largest difference of a target from the port's sample: %.3g\n", worst);
  return worst < 1e-5 ? 0 : 1;
} catch (const std::exception& problem) {
  std::fprintf(stderr, "%s\n", problem.what());
  return 2;
}
