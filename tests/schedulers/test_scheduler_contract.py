# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""What a user of diffusers expects of every scheduler; each class below puts one through it."""

import copy
import inspect
import json
import pickle

import pytest
import torch

from gan_diffusion import DDGANScheduler, DiffusionGANScheduler, SPIGANScheduler


DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
SHAPES = [(4, 3, 8, 8), (4, 2, 16), (4, 5), (4,)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def samples(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape or SHAPES[0], generator=seeded(seed))


class SchedulerContract:
    scheduler_class: type
    options: dict  # of the constructor, none of them the default
    time: int | float  # one point of the forward process
    times: list  # one per sample of a batch of four
    times_out_of_range: list

    def make(self, **options):
        return self.scheduler_class(**self.options | options)

    def calls(self, scheduler) -> dict:
        """Every call that takes samples and times: name -> function of samples, times and a generator."""
        return {"add_noise": lambda x, times, generator: scheduler.add_noise(x, None, times, generator=generator)}

    def results(self, scheduler, x=None, times=None, generator=None) -> list[torch.Tensor]:
        x, times = samples() if x is None else x, self.time if times is None else times
        return [call(x, times, generator or seeded()) for call in self.calls(scheduler).values()]

    def assert_same(self, one, other):
        assert type(one) is type(other)
        for a, b in zip(self.results(one), self.results(other), strict=True):
            assert torch.equal(a, b)

    # Config, saving and copying.

    def test_config_is_the_arguments(self, tmp_path):
        scheduler = self.make()
        names = set(inspect.signature(self.scheduler_class.__init__).parameters) - {"self"}
        assert set(self.options) <= names
        scheduler.save_pretrained(tmp_path)
        saved = json.loads((tmp_path / "scheduler_config.json").read_text())
        assert {name for name in saved if not name.startswith("_")} == names
        assert saved["_class_name"] == self.scheduler_class.__name__
        assert all(saved[name] == value for name, value in self.options.items())

    def test_save_and_load(self, tmp_path):
        scheduler = self.make()
        scheduler.save_pretrained(tmp_path / "scheduler")
        for loaded in (
            self.scheduler_class.from_pretrained(tmp_path / "scheduler"),
            self.scheduler_class.from_pretrained(tmp_path, subfolder="scheduler"),
        ):
            hidden = {"_use_default_values"}
            assert {k: v for k, v in scheduler.config.items() if k not in hidden} == dict(loaded.config)
            self.assert_same(loaded, scheduler)

    def test_loading_takes_options(self, tmp_path):
        default = self.scheduler_class()
        default.save_pretrained(tmp_path)
        self.assert_same(self.scheduler_class.from_pretrained(tmp_path, **self.options), self.make())
        loaded, unused = self.scheduler_class.from_pretrained(
            tmp_path, return_unused_kwargs=True, **self.options, no_option=1
        )
        assert {name for name in unused if not name.startswith("_")} == {"no_option"}
        self.assert_same(loaded, self.make())

    def test_from_config(self):
        scheduler = self.make()
        self.assert_same(self.scheduler_class.from_config(scheduler.config), scheduler)
        self.assert_same(self.scheduler_class.from_config(self.scheduler_class().config, **self.options), scheduler)
        assert scheduler.compatibles == []

    @pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
    def test_copies(self, duplicate):
        scheduler = self.make()
        scheduler.set_timesteps()
        copied = duplicate(scheduler)
        assert copied.config == scheduler.config and torch.equal(copied.timesteps, scheduler.timesteps)
        self.assert_same(copied, scheduler)

    # Sampling.

    def test_timesteps(self):
        scheduler = self.make()
        fresh = scheduler.timesteps
        assert scheduler.num_inference_steps is None and scheduler.order == 1 and scheduler.init_noise_sigma == 1
        scheduler.set_timesteps()
        number = scheduler.num_inference_steps
        assert torch.equal(scheduler.timesteps, fresh) and fresh.shape == (number,)
        assert (fresh[1:] < fresh[:-1]).all()
        scheduler.set_timesteps(number, device="meta")
        assert scheduler.timesteps.device.type == "meta"
        for wrong in (0, number + 1, 1000):
            with pytest.raises(ValueError, match=f"`num_inference_steps` must be {number}.* got {wrong}"):
                scheduler.set_timesteps(num_inference_steps=wrong)

    def test_model_input_is_the_sample(self):
        x = samples()
        assert self.make().scale_model_input(x, self.time) is x

    # Noising.

    def test_add_noise_takes_the_arguments_of_diffusers(self):
        scheduler, x, n = self.make(), samples(), samples(seed=1)
        times = torch.tensor(self.times)
        noisy = scheduler.add_noise(x, n, times)
        assert torch.equal(noisy, scheduler.add_noise(original_samples=x, noise=n, **{self.time_name: times}))
        assert not torch.equal(noisy, scheduler.add_noise(x, samples(seed=2), times))

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_shapes_and_dtypes(self, shape, dtype):
        x = samples(*shape).to(dtype)
        for result in self.results(self.make(), x, torch.tensor(self.times)):
            assert result.shape == shape and result.dtype == dtype and result.isfinite().all()

    def test_times_of_any_form(self):
        scheduler = self.make()
        expected = self.results(scheduler, times=torch.tensor([self.time] * 4))
        for times in (self.time, torch.tensor(self.time), torch.tensor([self.time])):
            for actual, value in zip(self.results(scheduler, times=times), expected, strict=True):
                assert torch.equal(actual, value)

    def test_a_time_of_shape_1_fits_any_batch(self):
        for batch_size in (1, 3, 7):
            x = samples(batch_size, 5)
            for result in self.results(self.make(), x, torch.tensor([self.time])):
                assert result.shape == x.shape

    def test_times_belong_to_samples(self):
        scheduler, x, n = self.make(), samples(), samples(seed=1)
        together = scheduler.add_noise(x, n, torch.tensor(self.times))
        alone = [scheduler.add_noise(x[i : i + 1], n[i : i + 1], t) for i, t in enumerate(self.times)]
        assert torch.equal(together, torch.cat(alone))

    def test_times_out_of_range_or_of_a_wrong_shape_are_refused(self):
        for name, call in self.calls(self.make()).items():
            for wrong in self.times_out_of_range:
                with pytest.raises(ValueError, match=rf"`{self.time_name}` must lie in .* got {wrong}"):
                    call(samples(), wrong, None)
            for shape in ((2,), (4, 1), (0,)):
                with pytest.raises(
                    ValueError, match=rf"`{self.time_name}` must have the shape \(\), \(1,\) or \(4,\)"
                ):
                    call(samples(), torch.tensor(self.time).expand(shape), None)
            with pytest.raises(TypeError, match=f"`{self.time_name}` must be .* got str"):
                call(samples(), name, None)

    def test_generators(self):
        scheduler, x = self.make(), samples()
        for call in self.calls(scheduler).values():
            first, again, other = (call(x, self.time, seeded(seed)) for seed in (7, 7, 8))
            assert torch.equal(first, again) and not torch.equal(first, other)
            assert torch.equal(call(x, self.time, [seeded(7)]), first)
            listed = call(x, self.time, [seeded(seed) for seed in range(4)])
            alone = [call(x[i : i + 1], self.time, seeded(i)) for i in range(4)]
            assert torch.equal(listed, torch.cat(alone))
            for number in (0, 2, 5):
                with pytest.raises(
                    ValueError, match=f"`generator` must hold one generator per sample, .* got {number}"
                ):
                    call(x, self.time, [seeded()] * number)
            with pytest.raises(TypeError, match="`generator` must be a torch.Generator or a list of them, got int"):
                call(x, self.time, 3)

    def test_gradients_reach_the_samples(self):
        for call in self.calls(self.make()).values():
            x = samples().requires_grad_()
            call(x, self.time, seeded()).sum().backward()
            assert x.grad.shape == x.shape and (x.grad != 0).all()


class TestDDGANContract(SchedulerContract):
    scheduler_class = DDGANScheduler
    options = {"num_train_timesteps": 5, "beta_min": 0.2, "beta_max": 10.0}
    time_name = "timesteps"
    time, times, times_out_of_range = 1, [0, 4, 2, 1], [-1, 5]

    def calls(self, scheduler):
        def pair(index):
            return lambda x, t, generator: scheduler.add_noise_pair(x, t, generator=generator)[index]

        def step(x, t, generator):
            return scheduler.step(0.1 * x, t, x, generator=generator).prev_sample

        return super().calls(scheduler) | {"x_t": pair(0), "x_tp1": pair(1), "step": step}

    def test_step_returns_an_output_or_a_tuple(self):
        scheduler, x = self.make(), samples()
        output = scheduler.step(0.1 * x, 1, x, seeded())
        listed = scheduler.step(0.1 * x, 1, x, seeded(), False)
        assert torch.equal(output.prev_sample, listed[0]) and torch.equal(output.pred_original_sample, listed[1])
        assert output.to_tuple()[0] is output.prev_sample and len(listed) == 2

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_sampling(self, dtype):
        scheduler, x_0 = self.make(), samples().to(dtype)
        scheduler.set_timesteps(5)
        x = samples(seed=1).to(dtype)
        for t in scheduler.timesteps:
            x = scheduler.step(x_0, t, scheduler.scale_model_input(x, t), generator=seeded()).prev_sample
            assert x.dtype == dtype
        torch.testing.assert_close(x, x_0)

    def test_timesteps_of_the_schedule_can_be_used(self):
        scheduler, x = self.make(), samples()
        for t in scheduler.timesteps.split(1):
            step = scheduler.step(x, t, x, generator=seeded()).prev_sample
            assert torch.equal(step, scheduler.step(x, t.item(), x, generator=seeded()).prev_sample)


class TestDiffusionGANContract(SchedulerContract):
    scheduler_class = DiffusionGANScheduler
    options = {"min_timesteps": 20, "max_timesteps": 200, "noise_std": 0.1, "initial_p": 0.5}
    time_name = "timesteps"
    time, times, times_out_of_range = 3, [0, 110, 7, 1], [-1, 111]

    def test_copies_adapt_on_their_own(self):
        scheduler = self.make()
        copied = copy.deepcopy(scheduler)
        for one in (scheduler, copied):
            one.update(discriminator_sign_mean=1.0, num_images=100)
        assert copied.p == scheduler.p and torch.equal(copied.timestep_list, scheduler.timestep_list)
        copied.update(discriminator_sign_mean=1.0, num_images=10_000)
        assert scheduler.p < copied.p and len(scheduler) < len(copied)

    @pytest.mark.parametrize("batch_size", [0, -1, 2.0])
    def test_bad_draws_are_refused(self, batch_size):
        with pytest.raises(ValueError, match=f"`batch_size` must be an integer of at least 1, got {batch_size}"):
            self.make().sample_timesteps(batch_size)
        with pytest.raises(TypeError, match="`generator` must be a torch.Generator, got list"):
            self.make().sample_timesteps(4, generator=[seeded()])


class TestSPIGANContract(SchedulerContract):
    scheduler_class = SPIGANScheduler
    options = {"beta_min": 0.2, "beta_max": 10.0, "clean_probability": 0.25, "position_alpha": 2.0}
    time_name = "positions"
    time, times, times_out_of_range = 0.25, [0.0, 1.0, 0.5, 0.75], [-0.1, 1.5]

    def calls(self, scheduler):
        def path(index):
            return lambda x, u, generator: scheduler.interpolate(x, u, generator=generator, return_terminal=True)[
                index
            ]

        return super().calls(scheduler) | {"point": path(0), "terminal": path(1)}

    @pytest.mark.parametrize("batch_size", [0, -1, 2.0])
    def test_bad_draws_are_refused(self, batch_size):
        with pytest.raises(ValueError, match=f"`batch_size` must be an integer of at least 1, got {batch_size}"):
            self.make().sample_positions(batch_size)
        with pytest.raises(TypeError, match="`generator` must be a torch.Generator, got list"):
            self.make().sample_positions(4, generator=[seeded()])
