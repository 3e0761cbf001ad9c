from gan_diffusion import DDGANPipeline as DDGANPipeline
