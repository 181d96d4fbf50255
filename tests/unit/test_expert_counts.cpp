// Counts of tokens by layer and expert as SGLang and TensorRT-LLM write them, from files built
// here.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/random.hpp"
#include "model/routing_record.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

using Rows = std::vector<std::vector<double>>;

class Dump {
 public:
  Dump& add(const std::string& name, const std::string& text) {
    folder_.add_file(name, text);
    return *this;
  }
  // Of one file, or of the folder itself.
  Rows read(const std::string& name = "") const {
    return read_load_table(path(name), "", "", 4).layers;
  }
  // The message with "@" for the folder.
  std::string refused(const std::string& name = "") const {
    std::string message = refusal([&] { read(name); });
    const std::string folder = folder_.path().string();
    if (message.rfind(folder, 0) == 0) message.replace(0, folder.size(), "@");
    return message;
  }

 private:
  std::filesystem::path path(const std::string& name) const {
    return name.empty() ? folder_.path() : folder_.path() / name;
  }
  TemporaryFolder folder_;
};

std::string bytes_of(std::uint64_t value, std::size_t size) {
  std::string bytes;
  for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

std::string with_header(const std::string& header, const std::string& data) {
  return bytes_of(header.size(), 8) + header + data;
}

using Tensor = std::pair<std::string, std::vector<std::int64_t>>;

// A file of counts as the safetensors library writes it.
std::string safetensors(const std::vector<Tensor>& tensors, std::size_t value_bytes = 8) {
  std::string header = R"({"__metadata__":{"format":"pt"})", data;
  for (const auto& [name, values] : tensors) {
    const std::size_t begin = data.size();
    for (const std::int64_t value : values) {
      data += bytes_of(static_cast<std::uint64_t>(value), value_bytes);
    }
    header += ",\"" + name + "\":{\"dtype\":\"" + (value_bytes == 8 ? "I64" : "I32") +
              "\",\"shape\":[" + std::to_string(values.size()) + "],\"data_offsets\":[" +
              std::to_string(begin) + "," + std::to_string(data.size()) + "]}";
  }
  return with_header(header + "}", data);
}

const char* const kMeta = R"({"num_experts": 4, "num_experts_per_token": 2})";

}  // namespace

TEST_CASE("SGLang's files of one rank are added up") {
  const std::string header = "layer_id,expert_id,count\n";
  Dump dump;
  dump.add("expert_distribution_rank0_timestamp17.5.csv", header + "3,0,10\n3,2,30\n4,3,8\n");
  dump.add("expert_distribution_rank1_timestamp17.6.csv", header + "4,1,24\n3,1,40\n");
  CHECK(dump.read() == Rows{{0.5, 2, 1.5, 0}, {0, 3, 0, 1}});
  CHECK(dump.read("expert_distribution_rank0_timestamp17.5.csv") ==
        Rows{{1, 0, 3, 0}, {0, 0, 0, 4}});
}

TEST_CASE("Wrong lines of SGLang's files are named") {
  const auto refused = [](const std::string& lines) {
    return Dump().add("c.csv", "layer_id,expert_id,count\n" + lines).refused("c.csv");
  };
  CHECK(refused("3,0,10\n3,4,1\n") == "@/c.csv: line 3: expert 4; expected at most 3");
  CHECK(refused("3,0,10\n3,0,1\n") == "@/c.csv: line 3: expert 0 of layer 3 again");
  CHECK(refused("30000,0,10\n") == "@/c.csv: line 2: layer 30000; expected at most 9999");
  CHECK(refused("3,0,9007199254740993\n") == "@/c.csv: line 2: a count of more than 2^53");
  CHECK(refused("3,0,-1\n") ==
        "@/c.csv: line 2: expected a whole number of at least 0, found \"-1\"");
  CHECK(refused("3,0,10\n3,1,1") ==
        "@/c.csv: line 3: the last line is incomplete; without a newline, the file may be cut off");
  CHECK(refused("3,0\n") == "@/c.csv: line 2: expected \",\", found the end of the line");
  CHECK(refused("3,0,1,\n") == "@/c.csv: line 2: expected the end of the line, found \",\"");
  CHECK(refused("3,0,10\n5,1,1\n") == "@/c.csv: layer 4 is missing; layers 3 to 5 are expected");
  CHECK(refused("3,0,0\n") == "@/c.csv: layer 3 has no load on any expert");
  CHECK(refused("") == "@/c.csv: holds no counts");
  CHECK(Dump().add("c.csv", "token,layer,expert_0\n0,1,2\n").refused("c.csv") ==
        "@/c.csv: line 1: expected \"layer_id,expert_id,count\", found \"token,layer,expert_0\"");
  CHECK(Dump().add("c.txt", "").refused() ==
        "@: expected a folder with meta_info.json (TensorRT-LLM) or .csv files (SGLang)");
}

TEST_CASE("SGLang's logical counts are read by layer, with or without steps") {
  const Rows expected{{0.5, 2, 1.5, 0}, {0, 3, 0, 1}};
  const auto read = [](const std::string& counts) {
    return Dump().add("c.json", "{\"logical_count\": " + counts + "}").read("c.json");
  };
  CHECK(read("[[10, 40, 30, 0], [0, 24, 0, 8]]") == expected);
  CHECK(read("[[[10, 0, 30, 0], [0, 0, 0, 8]], [[0, 40, 0, 0], [0, 24, 0, 0]]]") == expected);
  // Dense layers before, an unused layer after.
  CHECK(read("[[0, 0, 0, 0], [10, 40, 30, 0], [0, 24, 0, 8], [0, 0, 0, 0]]") == expected);
  CHECK(Dump()
            .add("c.json",
                 R"({"rank": 0, "logical_count": [[1, 1, 1, 1]],
                     "average_utilization_rate_over_window": null})")
            .read("c.json") == Rows{{1, 1, 1, 1}});
}

TEST_CASE("Wrong logical counts are refused") {
  const auto refused = [](const std::string& text) {
    return Dump().add("c.json", text).refused("c.json");
  };
  CHECK(refused(R"({"logical_count": [[1, 1, 1]]})") ==
        "@/c.json: /logical_count/0: expected an array of 4 counts, found 3");
  CHECK(refused(R"({"logical_count": [[1, 1, 1, 1], 7]})") ==
        "@/c.json: /logical_count/1: expected an array of 4 counts, found the number 7");
  CHECK(refused(R"({"logical_count": [[1, 1, 1, 0.5]]})") ==
        "@/c.json: /logical_count/0/3: expected an integer, found the number 0.5");
  CHECK(refused(R"({"logical_count": [[[1, 1, 1, 1]], []]})") ==
        "@/c.json: /logical_count/1: expected 1 layers, as in the first");
  CHECK(refused(R"({"logical_count": [[1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]]})") ==
        "@/c.json: /logical_count: layer 1 has no load on any expert");
  CHECK(refused(R"({"logical_count": [[0, 0, 0, 0]]})") ==
        "@/c.json: /logical_count: holds no counts");
  for (const char* const counts : {"7", "[]", "[1, 2, 3, 4]", "[[]]"}) {
    CHECK(refused(std::string("{\"logical_count\": ") + counts + "}") ==
          "@/c.json: /logical_count: expected an array of [layers, experts] or [steps, layers, "
          "experts]");
  }
  for (const char* const text : {"[1]", R"({"physical_count": [[1, 1, 1, 1]]})"}) {
    CHECK(refused(text) ==
          "@/c.json: expected an object with \"rows\" of relative loads or a \"logical_count\" of "
          "[layers, experts]");
  }
}

TEST_CASE("TensorRT-LLM's statistics are added over ranks and iterations") {
  Dump dump;
  dump.add("meta_info.json", R"({"num_experts": 4, "num_experts_per_token": 2, "ep_size": 2})");
  dump.add(
      "rank0.safetensors",
      safetensors({{"100_3", {10, 0, 0, 0}}, {"100_4", {0, 24, 0, 0}}, {"101_3", {0, 40, 0, 0}}}));
  dump.add("rank1.safetensors",
           safetensors({{"101_4", {0, 0, 0, 8}}, {"101_3", {0, 0, 30, 0}}}, 4));
  dump.add("cooccurrence_rank0.safetensors", "not counts of experts");
  CHECK(dump.read() == Rows{{0.5, 2, 1.5, 0}, {0, 3, 0, 1}});
}

TEST_CASE("Wrong TensorRT-LLM statistics are refused") {
  const auto refused = [](const std::string& file, const std::string& meta = kMeta) {
    return Dump().add("meta_info.json", meta).add("rank0.safetensors", file).refused();
  };
  const std::string good = safetensors({{"5_3", {1, 2, 3, 4}}});
  CHECK(refused(good) == "nothing was refused");
  CHECK(refused(good, R"({"num_experts": 8})") ==
        "@/meta_info.json: /num_experts: expected the model's 4, found the number 8");
  CHECK(refused(safetensors({{"5_3", {1, 2, 3}}})) ==
        "@/rank0.safetensors: /5_3/shape: expected [4], one count an expert");
  CHECK(refused(safetensors({{"5_3", {1, 2, 3, -1}}})) ==
        "@/rank0.safetensors: /5_3: a count below 0 or above 2^53");
  CHECK(refused(safetensors({{"5_3", {1, 2, 3, -1}}}, 4)) ==
        "@/rank0.safetensors: /5_3: a count below 0 or above 2^53");
  CHECK(refused(safetensors({{"weight", {1, 2, 3, 4}}})) ==
        "@/rank0.safetensors: /weight: expected a tensor named \"<iteration>_<layer>\"");
  CHECK(refused(safetensors({{"5_3", {1, 2, 3, 4}}, {"5_5", {1, 2, 3, 4}}})) ==
        "@: layer 4 is missing; layers 3 to 5 are expected");
  CHECK(refused(with_header(R"({"5_3":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})",
                            std::string(16, '\0'))) ==
        "@/rank0.safetensors: /5_3/dtype: unknown value \"F32\"; known: I64, I32");
  CHECK(refused(with_header(R"({"5_3":{"dtype":"I64","shape":[4],"data_offsets":[8,16]}})",
                            std::string(32, '\0'))) ==
        "@/rank0.safetensors: /5_3/data_offsets: expected 32 bytes");
  CHECK(refused(with_header("[]", "")) ==
        "@/rank0.safetensors: expected an object, found an array");
  CHECK(
      refused(bytes_of(1000, 8) + "{}") ==
      "@/rank0.safetensors: is cut off or no safetensors file: a header of 1000 bytes in a file of "
      "10");
  CHECK(refused(good.substr(0, good.size() - 1)) ==
        "@/rank0.safetensors: /5_3/data_offsets: the file is cut off: values end at byte 32 of 31");
  CHECK(Dump()
            .add("meta_info.json", kMeta)
            .add("rank0.safetensors", good)
            .add("rank2.safetensors", good)
            .refused() ==
        "@/rank1.safetensors: is missing; expected one file for every rank from 0");
  CHECK(Dump().add("meta_info.json", kMeta).refused() ==
        "@/rank0.safetensors: is missing; expected one file for every rank from 0");
}

TEST_CASE("Cut and garbled safetensors files never crash") {
  const std::string good = safetensors({{"5_3", {1, 2, 3, 4}}, {"5_4", {5, 6, 7, 8}}});
  const auto refused = [](const std::string& file) {
    return Dump().add("meta_info.json", kMeta).add("rank0.safetensors", file).refused();
  };
  for (std::size_t size = 0; size < good.size(); size += 3) {
    CHECK(refused(good.substr(0, size)).rfind("@/rank0.safetensors", 0) == 0);
  }
  Random random(29);
  for (int trial = 0; trial < 200; ++trial) {
    std::string bad = good;
    for (int change = 0; change < 2; ++change) {
      bad[random.bits() % bad.size()] = static_cast<char>(random.bits());
    }
    CHECK(refused(bad).find('\n') == std::string::npos);
  }
}

TEST_CASE("Files that are not read say what is") {
  CHECK(Dump().add("x.pt", "PK").refused("x.pt") ==
        "@/x.pt: PyTorch pickles are not read; convert it: python3 -c \"import json,torch; "
        "d=torch.load('x.pt'); json.dump({'logical_count': d['logical_count'].sum(0).tolist()}, "
        "open('x.json','w'))\"");
  CHECK(
      Dump().add("x.npz", "PK").refused("x.npz") ==
      "@/x.npz: expected loads of experts in a .json or .csv file or a folder of TensorRT-LLM's or "
      "SGLang's statistics, found the extension \".npz\"");
  Dump dump;
  dump.add("c.csv", "layer_id,expert_id,count\n1,0,5\n");
  const std::string message = refusal([&] { read_load_table("c.csv", "github", "", 4); });
  CHECK(message == "c.csv: has no rows to choose from by domain or method: it holds counts");
}
